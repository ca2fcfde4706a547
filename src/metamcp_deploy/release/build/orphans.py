"""Programs of a build that was killed (kill -9): they live on and would write into the tree of the next one."""

from __future__ import annotations

import contextlib
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
    for pid in process.marked(_MARK, str(work)):
        with contextlib.suppress(ProcessLookupError):
            process.end_group(os.getpgid(pid))
