"""Who took a target's lock from whom, `<root>/state/lock-takings.json`.

The lock's file alone does not show a run that it lost the lock: the other run may have ended and deleted it, or a late
renewal may have written over it. So whoever takes the lock of a run that may live records that first.
"""

from __future__ import annotations

import json
from typing import Any

from metamcp_deploy import resources
from metamcp_deploy.workspace.files import Files
from metamcp_deploy.workspace.lock_file import LockHolder

NAME = "lock-takings.json"
_KEPT = 20  # newest ones; runs that are older have ended


def add(files: Files, root: str, lost: str, by: bytes) -> None:
    """Writes down that the lock of this id was taken; `by` is the content of the new owner's lock."""
    kept = [*_takings(files, root), {"from": lost, "by": json.loads(by)}][-_KEPT:]
    files.write(f"{root}/state/{NAME}", json.dumps({"format": 1, "takings": kept}, indent=1).encode())


def taker(files: Files, root: str, lost: str) -> LockHolder | None:
    """Who took the lock of this id; None while nobody did."""
    by = next((t.get("by") for t in reversed(_takings(files, root)) if t.get("from") == lost), None)
    return None if by is None else LockHolder.read(json.dumps(by).encode())


def _takings(files: Files, root: str) -> list[dict[str, Any]]:
    try:
        found: Any = resources.parsed_json(files.read(f"{root}/state/{NAME}") or b"")["takings"]
    except (ValueError, KeyError, TypeError):
        return []
    return [t for t in found if isinstance(t, dict)] if isinstance(found, list) else []
