"""Ends programs, alone or with their group, and waits until they have ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path

from metamcp_deploy.process import search

_GRACE_SECONDS = 5.0
_KILL_SECONDS = 5.0
_PAUSE = 0.02


def end(pid: int, signum: int, seconds: float) -> bool:
    """Sends a signal to one process and waits; whether it has ended."""
    return _signalled(os.kill, pid, signum, seconds)


def kill(pids: Collection[int], seconds: float = _KILL_SECONDS) -> None:
    """SIGKILL to all of these at once; returns when they have ended, or after so many seconds."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    while not all(map(has_ended, pids)) and time.monotonic() < deadline:
        time.sleep(_PAUSE)


def end_group(pid: int, grace: float = _GRACE_SECONDS) -> None:
    """Ends a process group that `run` or `detach` started: SIGTERM, then SIGKILL after `grace` seconds."""
    _ = _signalled(os.killpg, pid, signal.SIGTERM, grace) or _signalled(os.killpg, pid, signal.SIGKILL, 1.0)


def end_marked(name: str, value: str) -> None:
    """Ends the groups of all programs that `search.marked` finds."""
    for pid in search.marked(name, value):
        with contextlib.suppress(ProcessLookupError):
            end_group(os.getpgid(pid))


def has_ended(pid: int, send: Callable[[int, int], None] = os.kill) -> bool:
    """Whether a process (with os.killpg a group) is gone, be it a child of this process or not."""
    # Until it is waited for, a child keeps its number.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        send(pid, 0)
    except (ProcessLookupError, PermissionError):  # or the number is another user's by now
        return True
    return _waits_for_its_parent(pid) and (send is not os.killpg or _group_has_ended(pid))


def _waits_for_its_parent(pid: int) -> bool:
    """Whether a process has ended, and its parent (in many containers, process 1) never asks for its exit code."""
    return _stat(Path("/proc", str(pid)))[:1] in (["Z"], ["X"])


def _group_has_ended(group: int) -> bool:
    """Whether all members of a group have ended."""
    found = map(_stat, Path("/proc").glob("[0-9]*"))
    return not any(state not in "ZX" for state, _, its, *_ in filter(None, found) if its == str(group))


def _stat(folder: Path) -> list[str]:
    """State, parent, group, ... of a process; empty where there is no /proc, or no such process any more."""
    try:
        return (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _signalled(send: Callable[[int, int], None], pid: int, signum: int, seconds: float) -> bool:
    try:
        send(pid, signum)
    except (ProcessLookupError, PermissionError):
        return True
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if has_ended(pid, send):
            return True
        time.sleep(_PAUSE)
    return False
