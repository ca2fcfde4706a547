"""Prepares Node and the package manager that the tree names for one build."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy import atomic, disk, events, fingerprint, process
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build.node import Node

_NAMED = re.compile(r"^(?P<name>[a-z]+)@(?P<version>\d+\.\d+\.\d+[0-9A-Za-z.-]*)(?:\+.*)?$")
# corepack's shims must neither ask nor download: a pnpm on PATH counts only if it is there already.
_NO_COREPACK = {"COREPACK_ENABLE_NETWORK": "0", "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0"}

_DIGEST = "digest"  # of a private copy, beside it

_FULL = re.compile(r"ENOSPC|EDQUOT|no space left on device|disk quota exceeded", re.IGNORECASE)

_NPM_OPTIONS = [
    "--ignore-scripts",
    "--save-exact",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    "--no-update-notifier",
]


def named_pnpm(tree: Path) -> str:
    """The pnpm version that package.json's `packageManager` names.

    Raises:
        DeployError: BUILD_FAILED, when it names none or another package manager.
    """
    try:
        manifest = json.loads((tree / "package.json").read_text())
        wanted = str(manifest.get("packageManager", "nothing"))
    except (OSError, ValueError, AttributeError) as e:
        raise DeployError(
            Code.BUILD_FAILED,
            f"{tree / 'package.json'} cannot be read: {e}.",
            hint="Run `metamcp-deploy patch` to make the tree anew.",
        ) from e
    found = _NAMED.match(wanted)
    if not found or found["name"] != "pnpm":
        raise DeployError(
            Code.BUILD_FAILED,
            f"`packageManager` in {tree / 'package.json'} is {wanted!r}; expected pnpm@<version>.",
            hint="Pin a release of MetaMCP that builds with pnpm (v2.0.4 or later).",
        )
    return found["version"]


@dataclass(frozen=True)
class Pnpm:
    """A pnpm of the wanted version: the words that start it, and where it is, for people."""

    words: tuple[str, ...]
    version: str
    origin: str


def ready_pnpm(node: Node, version: str, tools: Path, env: Mapping[str, str]) -> Pnpm:
    """pnpm of exactly this version: on PATH, or installed into a folder of its own below `tools`.

    Args:
        node: runs it.
        version: wanted.
        tools: where private copies are kept between builds.
        env: of the programs it starts; its PATH is searched.

    Raises:
        DeployError: TOOL_MISSING, when it cannot be installed; DISK_FULL.
    """
    on_path = process.find("pnpm", env.get("PATH"))
    if on_path and _version_of([str(on_path)], env) == version:
        return Pnpm((str(on_path),), version, "on PATH")
    prefix = tools / f"pnpm-{version}"
    words = _installed(node, prefix, version)
    if words is not None and not _whole(prefix, words, version, env):
        events.emit(
            events.Warned(f"{prefix} in the cache is not what was put there; pnpm is installed again.")
        )
        shutil.rmtree(prefix, ignore_errors=True)
        words = None
    if words is None:
        events.emit(events.Progress(f"Installing pnpm {version}"))
        _install(node, prefix, version, env)
        words = _installed(node, prefix, version)
    if words is None:
        raise RuntimeError(f"pnpm {version} is not in {prefix} after its installation")
    return Pnpm(words, version, "in the cache")


def make_bin(folder: Path, node: Node, pnpm: Pnpm) -> Path:
    """A folder with `node` and `pnpm` as the build must find them; goes first on its PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    _executable(folder / "node", [str(node.program)])
    _executable(folder / "pnpm", list(pnpm.words))
    return folder


def _executable(path: Path, words: list[str]) -> None:
    # A script, not a link: Node of the wheel finds its own folder by the path it was started with.
    atomic.write(path, f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', 0o755)


def _installed(node: Node, prefix: Path, version: str) -> tuple[str, ...] | None:
    folder = prefix / "node_modules" / "pnpm"
    try:
        manifest = json.loads((folder / "package.json").read_text())
        script = folder / manifest["bin"]["pnpm"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if manifest.get("version") != version or not script.is_file():
        return None
    return (str(node.program), str(script))


def _whole(prefix: Path, words: tuple[str, ...], version: str, env: Mapping[str, str]) -> bool:
    """Whether a private copy is what was installed; reading it takes a tenth of a second."""
    try:
        return (prefix / _DIGEST).read_text() == _digest(prefix)
    except FileNotFoundError:  # of an earlier version of this tool, which kept none
        if _version_of(list(words), env) != version:
            return False
        atomic.write(prefix / _DIGEST, _digest(prefix))
        return True


def _digest(prefix: Path) -> str:
    return fingerprint.of_tree(prefix / "node_modules", skip=("__pycache__",))


def _install(node: Node, prefix: Path, version: str, env: Mapping[str, str]) -> None:
    prefix.parent.mkdir(parents=True, exist_ok=True)
    fresh = prefix.with_name(f".{prefix.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        (fresh / "package.json").write_text("{}")
        try:
            process.run(
                [*node.npm(env.get("PATH")), "install", f"pnpm@{version}", *_NPM_OPTIONS],
                cwd=fresh,
                env=env,
                timeout=300,
                code=Code.TOOL_MISSING,
                hint=f"Put pnpm {version} on PATH, or let npm reach its registry (`network` in metamcp.yaml).",
            )
        except DeployError as e:
            if _FULL.search(e.detail or ""):
                raise disk.full(prefix.parent, needs=f"pnpm {version} needs 20 MB", detail=e.detail) from None
            raise
        words = _installed(node, fresh, version)
        if words is None or (stated := _version_of(list(words), env)) != version:
            raise DeployError(
                Code.TOOL_MISSING,
                f"npm installed pnpm {version}, but it says {stated if words else 'nothing'} to --version.",
                hint=f"Put pnpm {version} on PATH.",
            )
        (fresh / _DIGEST).write_text(_digest(fresh))
        # Another build may have been faster; its copy is as good.
        if _installed(node, prefix, version) is None:
            shutil.rmtree(prefix, ignore_errors=True)
            fresh.rename(prefix)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _version_of(words: list[str], env: Mapping[str, str]) -> str | None:
    try:
        # From the root folder, so that no project's settings have a say.
        done = process.run(
            [*words, "--version"], cwd=Path("/"), env={**env, **_NO_COREPACK}, timeout=30, check=False
        )
    except (DeployError, OSError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
