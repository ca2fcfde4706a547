"""Digests of the inputs of a stage: files, folders, values, and this tool's own sources."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from metamcp_deploy import resources


def of_bytes(data: bytes) -> str:
    """SHA-256, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def of_value(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def of_tree(folder: Path, skip: Iterable[str] = (".git", "node_modules", "__pycache__")) -> str:
    """SHA-256 over (path, executable bit, content) of all files below a folder; links count as their target's name."""
    skipped = frozenset(skip)
    total = hashlib.sha256()
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in skipped)
        for name in sorted(names):
            path = Path(base, name)
            mode = "l" if path.is_symlink() else ("x" if os.access(path, os.X_OK) else "-")
            content = of_bytes(str(path.readlink()).encode()) if mode == "l" else of_file(path)
            total.update(f"{path.relative_to(folder).as_posix()}\0{mode}\0{content}\n".encode())
    return total.hexdigest()


@cache
def of_own_sources(*parts: str) -> str:
    """SHA-256 of modules or folders of this package: a changed tool makes its stages run again."""
    total = hashlib.sha256()
    for part in parts:
        path = resources.PACKAGE / part
        total.update(f"{part}\0{of_tree(path) if path.is_dir() else of_file(path)}\n".encode())
    return total.hexdigest()
