"""Records which processes each app started, and ends them.

Children, their children, detached ones (with a session of their own, or whose parent ended), and after a kill -9 of
the daemon those of the daemon before.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from metamcp_deploy.local import store
from metamcp_deploy.process import search

_PR_SET_CHILD_SUBREAPER = 36

UNKNOWN = "?"  # whose an orphan is when several apps run; it ends with the last of them

# A process is known by its id and its start (seconds since the epoch): ids are used again.
Key = tuple[int, float]


def become_subreaper() -> None:
    """Makes this process the one that orphans of its descendants fall to (Linux), so that none can get lost."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def key(process: psutil.Process) -> Key:
    """What identifies a process."""
    return process.pid, process.create_time()


def alive(known: Key) -> psutil.Process | None:
    """The process, if it still runs (a zombie does not)."""
    try:
        process = psutil.Process(known[0])
        same = abs(process.create_time() - known[1]) < 0.02
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def descendants(pid: int) -> set[Key]:
    """All processes below one."""
    try:
        return _keys(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return set()


def of_folder(folder: Path) -> set[Key]:
    """Processes whose HOME or TMPDIR is the folder or below it: apps get such, and nobody else has reason to."""
    return set().union(*map(_keys_of, search.with_folder(folder, "HOME", "TMPDIR")))


def kill(known: Iterable[Key], patience: float = 5.0) -> None:
    """SIGKILL to all of them and to what they start meanwhile; returns when none runs."""
    waiting = set(known)
    deadline = time.monotonic() + patience
    while running := [p for k in waiting if (p := alive(k))]:
        for process in running:
            waiting |= descendants(process.pid)
            try:
                process.kill()
            except psutil.Error:
                continue
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)


class Ledger:
    """What each app was seen to run, kept in a file: the next `up` ends what a killed server left.

    Args:
        path: the file.
        apart: children of this process that belong to no app. A PostgreSQL of the workspace never does, whenever it
            was started.
    """

    def __init__(self, path: Path, apart: Iterable[int] = ()) -> None:
        self.path = path
        self.apart = set(apart)
        self.roots: dict[str, int] = {}
        self.seen: dict[str, set[Key]] = {}
        self._zombies: set[Key] = set()
        self._lock = threading.Lock()

    def look(self) -> None:
        """Notes what runs below each app now, orphans that fell to this process included."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        before = {app: set(keys) for app, keys in self.seen.items()}
        for app in {*self.roots, *self.seen}:
            mine = {k for k in self.seen.get(app, set()) if alive(k)} | _keys_of(self.roots.get(app))
            self.seen[app] = mine.union(*(descendants(pid) for pid, _ in mine))
        self._adopt()
        self._reap()
        if before != self.seen:
            self._write()

    def _adopt(self) -> None:
        """Gives an orphan to the app whose session it is in, or to the only app; UNKNOWN otherwise."""
        claimed = set().union(*self.seen.values())
        apart = self.apart | set(self.roots.values())
        for orphan in {k for k in _keys(psutil.Process().children()) - claimed if alive(k)}:
            if orphan[0] in apart or self._is_database(orphan[0]):
                continue
            session = _session(orphan[0])
            owner = next((a for a, root in self.roots.items() if session == root), UNKNOWN)
            if owner == UNKNOWN and len(self.roots) == 1:
                owner = next(iter(self.roots))
            self.seen.setdefault(owner, set()).add(orphan)

    def _reap(self) -> None:
        """Collects dead orphans. Those seen dead twice: asyncio collects its own children, but not instantly."""
        kept = self.apart | set(self.roots.values())
        dead = {k for k in _keys(psutil.Process().children()) if k[0] not in kept and not alive(k)}
        for pid, _ in dead & self._zombies:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._zombies = dead

    def end(self, app: str, scratch: Path) -> None:
        """Ends everything of an app at once (its own end was asked for before)."""
        with self._lock:
            self._look()
            self.roots.pop(app, None)
            doomed = self.seen.pop(app, set())
            if not self.roots:
                doomed |= self.seen.pop(UNKNOWN, set())
            # Seen between its start and its first line, a PostgreSQL was not yet known as one.
            kill({k for k in doomed if not self._is_database(k[0])} | of_folder(scratch))
            self._write()

    def _is_database(self, pid: int) -> bool:
        """Whether it is a PostgreSQL that works outside of the apps' folders."""
        try:
            process = psutil.Process(pid)
            return (
                process.name() == "postgres" and self.path.parent / "apps" not in Path(process.cwd()).parents
            )
        except (psutil.Error, OSError):
            return False

    def _write(self) -> None:
        store.write(self.path, {app: sorted(keys) for app, keys in self.seen.items()})


def clean(path: Path, apps: Path) -> int:
    """Ends what a killed server left; how many processes.

    Args:
        path: the Ledger's file.
        apps: the folder that the apps' scratch folders are below.
    """
    noted = store.read(path) or {}
    left = {(int(pid), float(start)) for keys in noted.values() for pid, start in keys}
    found = {k for k in left if alive(k)} | of_folder(apps)
    kill(found)
    path.unlink(missing_ok=True)
    return len(found)


def _keys(processes: Iterable[psutil.Process]) -> set[Key]:
    found = set()
    for process in processes:
        try:
            found.add(key(process))
        except psutil.Error:
            continue
    return found


def _keys_of(pid: int | None) -> set[Key]:
    try:
        return _keys([psutil.Process(pid)]) if pid else set()
    except psutil.Error:
        return set()


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
