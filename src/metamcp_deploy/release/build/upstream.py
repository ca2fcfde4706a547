"""Runs upstream's own installation and build with its own package manager, without the caller's secrets."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy import knowledge, process
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import DeployError

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
    # It would run in pnpm itself, with the registry's credentials; `pnpm run` knows no option for it.
    "npm_config_ignore_pnpmfile": "true",
}
_INSTALL_OPTIONS = [
    "--frozen-lockfile",
    "--prefer-offline",
    "--ignore-scripts",
    "--ignore-pnpmfile",
    "--reporter=append-only",
    # A user's own settings may ask for another layout, or for production only.
    "--config.node-linker=isolated",
    "--prod=false",
]
_INSTALL_SILENCE = 300.0  # pnpm tries a dead registry for about three minutes before it says so
_BUILD_SILENCE = (
    1200.0  # Next says nothing while it compiles: half a minute on two cores, more on a slow machine
)

_PERSONAL = ("XDG_", "SSH_AUTH_SOCK")  # ways to the person's files and keys beside HOME

STORE_BROKEN = "store-broken"  # in knowledge/build
_PNPM_CODE = re.compile(r"\bERR_PNPM_[A-Z0-9_]+")


@dataclass(frozen=True)
class Environments:
    """What programs see: the basics with a HOME of their own, and quiet; no secret of the caller's.

    Attributes:
        install: also how to reach the registry, with the user's own settings.
        build: of upstream's scripts: nothing of the registry.
    """

    install: dict[str, str]
    build: dict[str, str]

    @classmethod
    def of(cls, project: Project, home: Path, **more: str) -> Environments:
        """Of a project; `home` is made anew, and `more` is in both."""
        from metamcp_deploy.network import Network

        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        network = Network.of(project.settings.network, kept=project.certificates)
        basics = {k: v for k, v in process.base_environment().items() if not k.startswith(_PERSONAL)}
        build = {**basics, **network.program_environment(), **_QUIET, "HOME": str(home), **more}
        return cls({**network.user_npmrc(), **network.node_environment(), **build}, build)

    def with_programs(self, folder: Path) -> Environments:
        """With a folder that goes first on PATH."""
        path = os.pathsep.join([str(folder), self.build.get("PATH", os.defpath)])
        return Environments({**self.install, "PATH": path}, {**self.build, "PATH": path})


def install(tree: Path, store: Path, env: dict[str, str], log: Path) -> None:
    """Installs exactly what the lockfile names, from the store as far as it holds it.

    No package's own scripts run: what upstream needs (esbuild, sharp, turbo, Next's compiler) comes as ready packages
    per platform, so that an install script has nothing to add but risk.

    Raises:
        DeployError: LOCKFILE_MISMATCH, DISK_FULL, or BUILD_FAILED with pnpm's own words; with `known` STORE_BROKEN
            where another store may help.
    """
    if not (tree / "pnpm-lock.yaml").is_file():
        raise _failure("no_lockfile", tree, log, [], None)
    returncode, seen = _pnpm("install", *_INSTALL_OPTIONS, "--store-dir", store, tree=tree, env=env, log=log)
    if returncode == 0:
        return
    codes = ", ".join(sorted(set(_PNPM_CODE.findall("\n".join(seen)))))
    raise _failure("install", tree, log, seen, returncode, reason=codes or f"exit code {returncode}")


def build(tree: Path, env: dict[str, str], log: Path) -> None:
    """Runs the tree's `build` script.

    Raises:
        DeployError: DISK_FULL, or BUILD_FAILED with its last lines and the log file.
    """
    returncode, seen = _pnpm("run", "build", tree=tree, env=env, log=log, silence=_BUILD_SILENCE)
    if returncode != 0:
        raise _failure("build", tree, log, seen, returncode)


def _pnpm(
    *words: str | Path, tree: Path, env: dict[str, str], log: Path, silence: float = _INSTALL_SILENCE
) -> tuple[int, list[str]]:
    """Runs pnpm in the tree: its exit code and the lines of its output, which also go to the log file."""
    seen: list[str] = []
    done = process.run(
        ["pnpm", *words],
        cwd=tree,
        env=env,
        silence=silence,
        source="pnpm",
        on_line=seen.append,
        log=log,
        check=False,
    )
    return done.returncode, seen


def _failure(
    state: str, tree: Path, log: Path, seen: list[str], returncode: int | None, **values: object
) -> DeployError:
    """What `knowledge/build` says of a failed step and its output."""
    known = knowledge.recognise("build", state=state, output="\n".join(seen), exit_code=returncode)
    assert known, state  # noqa: S101 -- each state has an entry that fits any output
    values |= {"folder": tree, "lockfile": tree / "pnpm-lock.yaml", "log": log, "returncode": returncode}
    return known.error_of("\n".join(seen[-30:]) or None, values)
