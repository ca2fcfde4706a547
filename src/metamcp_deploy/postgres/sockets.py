"""Folders for unix sockets and other temporary files that PostgreSQL's user can reach."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from metamcp_deploy.postgres import binaries

# Folders with this prefix are ours, and removed when their server has ended.
PREFIX = "metamcp-pg-"
_LONGEST_TEMPORARY = 60  # bytes; the system allows 103 (macOS) for it, our folder in it, and `/.s.PGSQL.5432`


def short_folder() -> Path:
    """A temporary folder whose path fits into a socket's address, needs no quoting, and is open to all users."""
    chosen = Path(tempfile.gettempdir())
    fits = len(os.fsencode(chosen)) <= _LONGEST_TEMPORARY and re.fullmatch(r"[\w./+-]+", str(chosen))
    usable = fits and binaries.reachable(chosen / "x", binaries.account())
    return chosen if usable else Path("/tmp")  # noqa: S108 -- mkdtemp makes private folders in it
