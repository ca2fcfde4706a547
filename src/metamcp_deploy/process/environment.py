"""The part of the caller's environment that programs get: what programs in general need, without secrets."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import TypedDict

_PASSED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TERM", "TMPDIR"),
        *("SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    }
)
_PASSED_PREFIXES = ("LC_", "XDG_")


def base_environment(*also: str, **extra: str) -> dict[str, str]:
    """The caller's environment cut down to what programs in general need.

    Args:
        also: further names to pass on when they are set.
        extra: values to add.
    """
    passed = {
        k: v for k, v in os.environ.items() if k in _PASSED or k in also or k.startswith(_PASSED_PREFIXES)
    }
    return {**passed, **extra}


def find(program: str, path: str | None = None) -> Path | None:
    """The program's absolute path on PATH (or on `path`), or None."""
    found = shutil.which(program, path=path)
    return Path(found) if found else None


class Identity(TypedDict, total=False):
    """Popen's arguments for running as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


def identity(user: str | None) -> Identity:
    """What a child runs as: Popen's `user` alone would leave it root's groups."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
