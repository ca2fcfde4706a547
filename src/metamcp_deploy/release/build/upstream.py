"""Runs upstream's own installation and build with its own package manager, without the caller's secrets."""

from __future__ import annotations

import re
from pathlib import Path

from metamcp_deploy import disk, process
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError

# No question, no colour (the console has its own), no report to anyone, and no cached result of turbo: it leaves out
# files that a .gitignore around the working folder names, and would take a changed tree for an unchanged one.
_QUIET = {
    "CI": "1",
    "NO_COLOR": "1",
    "FORCE_COLOR": "0",
    "DO_NOT_TRACK": "1",
    "TURBO_TELEMETRY_DISABLED": "1",
    "NEXT_TELEMETRY_DISABLED": "1",
    "TURBO_FORCE": "1",
    "TURBO_NO_UPDATE_NOTIFIER": "1",
    "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
    "npm_config_update_notifier": "false",
    # pnpm on PATH must not replace itself by another version.
    "npm_config_manage_package_manager_versions": "false",
}
_INSTALL_OPTIONS = [
    "--frozen-lockfile",
    "--prefer-offline",
    "--ignore-scripts",
    "--reporter=append-only",
    # A user's own settings may ask for another layout, or for production only.
    "--config.node-linker=isolated",
    "--prod=false",
]
_INSTALL_SILENCE = 300.0  # pnpm tries a dead registry for about three minutes before it says so
_BUILD_SILENCE = (
    1200.0  # Next says nothing while it compiles: half a minute on two cores, more on a slow machine
)

_ERROR = re.compile(r"\bERR_PNPM_[A-Z0-9_]+")
_LOCKFILE = frozenset(
    {
        "ERR_PNPM_OUTDATED_LOCKFILE",
        "ERR_PNPM_NO_LOCKFILE",
        "ERR_PNPM_BROKEN_LOCKFILE",
        "ERR_PNPM_LOCKFILE_BREAKING_CHANGE",
        "ERR_PNPM_LOCKFILE_CONFIG_MISMATCH",
        "ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY",
        "ERR_PNPM_FROZEN_LOCKFILE_WITH_OUTDATED_LOCKFILE",
    }
)
_FULL = ("ENOSPC", "EDQUOT")
_SPACE = "a build needs about 2 GB"
_STARVED = ("JavaScript heap out of memory", "SIGKILL")
_KILLED = (137, -9)


def environment(project: Project) -> dict[str, str]:
    """What install and build see: the basics, how to reach the registry, and quiet; no secret of the caller's."""
    from metamcp_deploy.network import Network

    network = Network.of(project.settings.network, kept=project.certificates).node_environment()
    return {**process.base_environment(), **network, **_QUIET}


def install(tree: Path, store: Path, env: dict[str, str], log: Path) -> None:
    """Installs exactly what the lockfile names, from the store as far as it holds it.

    No package's own scripts run: what upstream needs (esbuild, sharp, turbo, Next's compiler) comes as ready packages
    per platform, so that an install script has nothing to add but risk.

    Raises:
        DeployError: LOCKFILE_MISMATCH, DISK_FULL, or BUILD_FAILED with pnpm's own words.
    """
    if not (tree / "pnpm-lock.yaml").is_file():
        raise _mismatch(tree, "is missing", None)
    seen: list[str] = []
    done = process.run(
        ["pnpm", "install", *_INSTALL_OPTIONS, "--store-dir", store],
        cwd=tree,
        env=env,
        silence=_INSTALL_SILENCE,
        source="pnpm",
        on_line=seen.append,
        log=log,
        check=False,
    )
    if done.returncode == 0:
        return
    text = "\n".join(seen)
    detail = "\n".join(seen[-20:]) or None
    codes = set(_ERROR.findall(text))
    if codes & _LOCKFILE:
        raise _mismatch(tree, "does not fit the package.json files", detail)
    if any(word in text for word in _FULL):
        raise disk.full(tree, needs=_SPACE, detail=detail)
    raise DeployError(
        Code.BUILD_FAILED,
        f"pnpm install failed ({', '.join(sorted(codes)) or f'exit code {done.returncode}'}). "
        f"The whole output is in {log}.",
        hint="If it is about the registry: `network` in metamcp.yaml or your .npmrc say which and how to reach it.",
        detail=detail,
    )


def build(tree: Path, env: dict[str, str], log: Path) -> None:
    """Runs the tree's `build` script.

    Raises:
        DeployError: DISK_FULL, or BUILD_FAILED with its last lines and the log file.
    """
    seen: list[str] = []
    done = process.run(
        ["pnpm", "run", "build"],
        cwd=tree,
        env=env,
        silence=_BUILD_SILENCE,
        source="pnpm",
        on_line=seen.append,
        log=log,
        check=False,
    )
    if done.returncode == 0:
        return
    detail = "\n".join(seen[-30:]) or None
    if any(word in line for line in seen for word in _FULL):
        raise disk.full(tree, needs=_SPACE, detail=detail)
    killed = done.returncode in _KILLED or any(word in line for line in seen for word in _STARVED)
    raise DeployError(
        Code.BUILD_FAILED,
        f"Upstream's build (`pnpm run build`) ended with exit code {done.returncode}"
        + (", for want of memory as it seems" if killed else "")
        + f". The whole output is in {log}.",
        hint="Give the machine or container 2 GB of memory for the build."
        if killed
        else f"Read {log}; `metamcp-deploy patch --diff` shows what differs from the upstream.",
        detail=detail,
    )


def _mismatch(tree: Path, what: str, detail: str | None) -> DeployError:
    return DeployError(
        Code.LOCKFILE_MISMATCH,
        f"{tree / 'pnpm-lock.yaml'} {what}; dependencies are installed only as the lockfile pins them.",
        hint="If an override changes a package.json, lay a pnpm-lock.yaml made with it over the tree as well.",
        detail=detail,
    )
