"""The lock of a target, `<root>/state/deploy.lock`, in the official command line's format: both respect it."""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace.files import Files


def _utc_now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def held(
    files: Files,
    root: str,
    user: str,
    memory: Path,
    *,
    force: bool = False,
    now: Callable[[], datetime] = _utc_now,
) -> Iterator[None]:
    """Holds the target's lock for the time of the block, and lets it go whatever ends the block.

    A lock that a killed run of this folder left is taken over: `memory` names it, and the system frees that file's
    own lock when a process dies.

    Args:
        files: of the workspace.
        root: of the target.
        user: who holds it.
        memory: local file that remembers the id of the lock held from this folder.
        force: take it although somebody holds it.
        now: the time.

    Raises:
        DeployError: LOCK_HELD, naming holder and age.
    """
    path = f"{root}/state/deploy.lock"
    lock_id = str(uuid.uuid4())
    memory.parent.mkdir(parents=True, exist_ok=True)
    with memory.open("a+") as mine:
        _locked(mine)
        mine.seek(0)
        before = mine.read().strip()
        mine.truncate(0)
        mine.write(lock_id)
        mine.flush()
        content = {
            "ID": lock_id,
            "AcquisitionTime": now().isoformat().replace("+00:00", "Z"),
            "IsForced": force,
            "User": user,
        }
        try:
            _take(files, path, json.dumps(content).encode(), lock_id, before, force, now)
            yield
        finally:
            # Also after an interrupt in the middle of taking it: the lock may be there, and is ours if the id says so.
            _release(files, path, lock_id)
            mine.truncate(0)


def _locked(mine: IO[str]) -> None:
    try:
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise DeployError(
            Code.LOCK_HELD,
            "Another run in this folder deploys the same target.",
            hint="Wait for it to end, then run the same command again.",
        ) from None


def _take(
    files: Files,
    path: str,
    content: bytes,
    lock_id: str,
    before: str,
    force: bool,
    now: Callable[[], datetime],
) -> None:
    files.make_folder(path.rsplit("/", 1)[0])
    for _ in range(3):
        if files.create(path, content):
            break
        holder = _holder(files, path)
        if holder is None:
            continue  # let go a moment ago
        if holder.get("ID") == lock_id:
            return  # ours: the first answer was lost on the way
        if before and holder.get("ID") == before:
            events.emit(events.Note("Took over the lock of a run that was killed in this folder."))
        elif force:
            events.emit(events.Warned(f"Took the lock of {_described(holder, now())} by --force-lock."))
        else:
            raise _is_held(holder, path, now())
        files.write(path, content)
        break
    found = _holder(files, path)
    if found is None or found.get("ID") != lock_id:
        raise _is_held(found or {}, path, now())


def _release(files: Files, path: str, lock_id: str) -> None:
    holder = _holder(files, path)
    if holder and holder.get("ID") == lock_id:
        files.delete(path)


def _holder(files: Files, path: str) -> dict[str, str] | None:
    content = files.read(path)
    if content is None:
        return None
    try:
        found = json.loads(content)
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _is_held(holder: dict[str, str], path: str, now: datetime) -> DeployError:
    return DeployError(
        Code.LOCK_HELD,
        f"{_described(holder, now)} holds the lock {path}.",
        hint="Wait for that run to end. If it is dead, take the lock: run the command again with --force-lock",
    )


def _described(holder: dict[str, str], now: datetime) -> str:
    who = holder.get("User") or "somebody unknown"
    try:
        since = datetime.fromisoformat(holder.get("AcquisitionTime", "")[:19]).replace(tzinfo=UTC)
    except ValueError:
        return who
    minutes = int((now - since).total_seconds() // 60)
    return f"{who} (since {minutes} min)" if minutes < 120 else f"{who} (since {minutes // 60} h)"
