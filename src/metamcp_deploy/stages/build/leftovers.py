"""Programs of a build that was killed (kill -9): they live on and would write into the tree of the next one."""

from __future__ import annotations

import os
from pathlib import Path

from metamcp_deploy import process

_MARK = "METAMCP_DEPLOY_BUILD"


def marked(env: dict[str, str], work: Path) -> dict[str, str]:
    """The environment with a mark by which programs of this folder's builds are known."""
    return {**env, _MARK: str(work)}


def end(work: Path) -> None:
    """Ends what earlier builds in this folder left running, where the system has /proc.

    Elsewhere such programs end by themselves at their next line of output, since nobody reads it any more.
    """
    mark = f"{_MARK}={work}".encode()
    for found in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (found / "environ").read_bytes().split(b"\0"):
                process.end_group(os.getpgid(int(found.name)))
        except OSError:
            continue  # it has ended, or is somebody else's
