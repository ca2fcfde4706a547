"""A full disk: how it is recognised, and its error."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from metamcp_deploy.errors import Code, DeployError

_NO_ROOM = 1 << 20  # bytes


def is_full(error: OSError) -> bool:
    """Whether a disk or a quota is exhausted."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def fullest(*folders: Path) -> Path | None:
    """The first folder whose disk has next to no room left; None without one."""
    for folder in folders:
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        try:
            if shutil.disk_usage(there).free < _NO_ROOM:
                return folder
        except OSError:
            continue
    return None


def full(where: Path | str, *, needs: str | None = None, detail: str | None = None) -> DeployError:
    """The error for a file or folder whose disk is full.

    Args:
        where: the file or folder.
        needs: what takes how much space, as in `a build needs about 2 GB`.
        detail: the words of the program that failed.
    """
    return DeployError(
        Code.DISK_FULL,
        f"The disk that holds {where} is full{f'; {needs}' if needs else ''}.",
        hint="Free some space, or use another folder with -C and another cache with METAMCP_CACHE_DIR; run it again.",
        detail=detail,
    )
