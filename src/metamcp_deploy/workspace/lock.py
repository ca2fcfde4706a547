"""The lock of a target, `<root>/state/deploy.lock`, in the official command line's format: both respect it.

Unlike the official tool's it is renewed while it is held. So one that a killed run left is known by its age, which is
by the workspace's clock (the file's date against the answer's) and not by anybody's laptop.
"""

from __future__ import annotations

import fcntl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import lock_takings
from metamcp_deploy.workspace.files import Files
from metamcp_deploy.workspace.lock_file import LockHolder, age

RENEW_SECONDS = 60.0
STALE_RENEWALS = 5  # so many missed renewals, and the holder is taken for dead
FRESH_SECONDS = 15.0  # a write relies on a look at the lock that is not older
_SETTLE_SECONDS = 1.5  # between taking somebody's lock and believing it: two may take it at once
_RELEASE_PAUSES = (0.5, 2.0, 0.0)


@contextmanager
def held(
    files: Files,
    root: str,
    user: str,
    memory: Path,
    *,
    force: bool = False,
    wall: Callable[[], float] = time.time,
    renew_seconds: float = RENEW_SECONDS,
) -> Iterator[None]:
    """Holds the target's lock for the time of the block, and lets it go whatever ends the block.

    Meanwhile it is renewed, and no request of this workspace writes once somebody else has taken it: deployments, the
    app's changes, records and the ledger right after a look at the lock, all else within `FRESH_SECONDS`. A lock that a
    killed run of this folder left is taken over at once (`memory` names it, and the system frees that file's own lock
    when a process dies), one that another machine's killed run left after `STALE_RENEWALS` missed renewals.

    Args:
        files: of the workspace.
        root: of the target.
        user: who holds it.
        memory: local file that remembers the ids of locks held from this folder.
        force: take it although somebody holds it.
        wall: seconds of a clock that goes on while the machine sleeps.
        renew_seconds: how often it is renewed.

    Raises:
        DeployError: LOCK_HELD, naming holder and age; in the block, by any request, LOCK_LOST.
    """
    memory.parent.mkdir(parents=True, exist_ok=True)
    with memory.open("a+", errors="replace") as mine:  # garbage names no lock
        _alone(mine)
        mine.seek(0)
        before = frozenset(mine.read().split())
        lock = _Lock(files.unguarded(), root, user, force, wall, renew_seconds)
        _remember(mine, lock.me.id, *before)  # until it is taken, an earlier one may be there yet
        try:
            lock.take(before)
            _remember(mine, lock.me.id)
            with files.guarded(lock.guard), lock.renewing():
                yield
        finally:
            # Also after an interrupt in the middle of taking it: the lock may be there, and is ours if the id says so.
            if lock.release():
                _remember(mine, *(() if lock.taken else before))


def sweep(files: Files, root: str, memory: Path) -> None:
    """Deletes the lock that a killed run of this folder left (see `held`), where no later run had a use for it.

    Raises:
        DeployError: where that failed; the next run tries again.
    """
    if not memory.exists() or not memory.read_bytes().strip():
        return
    with memory.open("a+", errors="replace") as mine:  # garbage names no lock
        _alone(mine)
        mine.seek(0)
        found = _look_at_id(files, path := f"{root}/state/deploy.lock")
        if found is not None and found.id in mine.read().split():
            files.delete(path, repeatable=False)
        _remember(mine)


def holder(files: Files, root: str) -> str | None:
    """Who holds the target's lock and for how long, for people; None when nobody does."""
    found = _look(files, f"{root}/state/deploy.lock")
    return found.worded(files.time()) if found else None


def _alone(mine: IO[str]) -> None:
    try:
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise DeployError(
            Code.LOCK_HELD,
            "Another run in this folder deploys the same target.",
            hint="Wait for it to end, then run the same command again.",
        ) from None


def _remember(mine: IO[str], *lock_ids: str) -> None:
    mine.truncate(0)
    mine.write("\n".join(lock_ids))
    mine.flush()


def _look(files: Files, path: str) -> LockHolder | None:
    content = files.read(path)
    return None if content is None else LockHolder.read(content, files.modified(path))


class _Lock:
    """One taking of the lock; `files` are not guarded by it."""

    def __init__(
        self,
        files: Files,
        root: str,
        user: str,
        force: bool,
        wall: Callable[[], float],
        renew_seconds: float,
    ) -> None:
        self.files, self.root, self.force, self.wall = files, root, force, wall
        self.path = f"{root}/state/deploy.lock"
        self.me = LockHolder(str(uuid.uuid4()), user, files.time() or wall(), None, renew_seconds)
        self.content = self.me.written(force)
        self.taken = False
        self.wrested = ""  # id of the lock that this one took the place of, whose run may live
        self.seen = 0.0  # when the lock was last seen to be ours, by `wall`
        self.lost: DeployError | None = None
        self._looking = threading.Lock()

    def take(self, before: frozenset[str]) -> None:
        """Takes it; `before` are the ids of the locks that this folder's last runs held."""
        for _ in range(3):
            if self._created():
                break
            found = _look(self.files, self.path)
            if found is None:
                continue  # let go a moment ago
            if found.id != self.me.id:  # ours is there when the first answer was lost on the way
                self._wrest(found, before)
            break
        found = _look_at_id(self.files, self.path)
        if not self._mine(found):
            raise self._held(found or LockHolder(""))
        self.seen, self.taken = self.wall(), True

    def _created(self) -> bool:
        try:
            return self.files.create(self.path, self.content)
        except DeployError as e:
            if e.code is not Code.NOT_FOUND:
                raise
        self.files.make_folder(self.path.rsplit("/", 1)[0])
        return self.files.create(self.path, self.content)

    def _wrest(self, found: LockHolder, before: frozenset[str]) -> None:
        """Takes the lock from a holder that is dead, or by force."""
        now, every = self.files.time(), found.renewed_every or 0
        silent = found.silent(now)
        if found.id in before:
            events.emit(events.Note("Took over the lock of a run that was killed in this folder."))
            self.files.write(self.path, self.content)
            return
        if self.force:
            text = f"Took the lock of {found.worded(now)} by --force-lock."
        elif silent is not None and silent > STALE_RENEWALS * every:
            text = f"Took over the lock of {found.worded(now)}: a living run renews it every {age(every)}."
        else:
            raise self._held(found)
        self.wrested = found.id
        lock_takings.add(self.files, self.root, found.id, self.content)
        self.files.write(self.path, self.content)
        self.files.clock.sleep(_SETTLE_SECONDS)
        events.emit(events.Warned(text))

    def _held(self, found: LockHolder) -> DeployError:
        hint = (
            "Wait for that run to end. If it is dead, take the lock: run the command again with --force-lock"
        )
        if found.renewed_every:
            seconds = STALE_RENEWALS * found.renewed_every
            hint = (
                f"Wait for that run to end. The lock of one that was killed can be taken {age(seconds)} after it was "
                "last renewed; or take it now: run the command again with --force-lock"
            )
        who = found.worded(self.files.time())
        return DeployError(Code.LOCK_HELD, f"{who} holds the lock {self.path}.", hint=hint)

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Writes the lock again and again for the time of the block."""
        ended = threading.Event()

        def work() -> None:
            while not ended.wait(self.me.renewed_every) and self.lost is None:
                try:
                    self._renew()
                except DeployError as e:
                    events.emit(events.Warned(f"The lock {self.path} was not renewed: {e.message}"))

        thread = threading.Thread(target=work, name="lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def guard(self, writes: bool, sure: bool) -> None:
        """Called before each request.

        Raises:
            DeployError: LOCK_LOST.
        """
        if writes and self.lost is None:
            if not 0 <= self.wall() - self.seen < FRESH_SECONDS:
                self._renew()
            elif sure:
                with self._looking:  # a renewal that is under way ends first
                    self._look()
        if self.lost is not None:
            raise self.lost

    def _renew(self) -> None:
        with self._looking:
            if self.lost is not None or 0 <= self.wall() - self.seen < 1:
                return  # another thread did it a moment ago
            self._look()
            if self.lost is None:
                self.files.write(self.path, self.content)
                # It may have been taken, and even let go, between the look and the write.
                if taker := lock_takings.taker(self.files, self.root, self.me.id):
                    self._lose(taker)
                else:
                    self.seen = self.wall()

    def _look(self) -> None:
        """Sets `lost` where the lock is no longer ours."""
        found = _look_at_id(self.files, self.path)
        if not self._mine(found):
            self._lose(lock_takings.taker(self.files, self.root, self.me.id) or found)

    def _mine(self, found: LockHolder | None) -> bool:
        """Whether a lock that was looked at is ours, also where its former owner's last renewal came over it."""
        if found is not None and found.id == self.me.id:
            return True
        late = self.wrested and (found.id == self.wrested if found else self.taken)
        if not late or lock_takings.taker(self.files, self.root, self.me.id):
            return False
        self.files.write(self.path, self.content)
        return True

    def _lose(self, to: LockHolder | None) -> None:
        who = f"{to.worded(self.files.time())} took the lock" if to else "Somebody deleted the lock"
        self.lost = DeployError(
            Code.LOCK_LOST,
            f"{who} {self.path} while this run worked. It stopped before its next request.",
            hint="Wait for the other run to end; then run the same command again: it goes on from there.",
        )

    def release(self) -> bool:
        """Releases it, if it is ours; False where that failed, which is reported but no error: the work is done."""
        why = ""
        for pause in _RELEASE_PAUSES:
            looked = False
            try:
                found = _look_at_id(self.files, self.path)
                looked = True
                if found is not None and found.id == self.me.id:
                    # Not repeated blindly: after a lost answer the lock there may be somebody else's.
                    self.files.delete(self.path, repeatable=False)
                return True
            except DeployError as e:
                why = e.message
                if not looked or e.code is Code.RATE_LIMITED:
                    break  # that was tried for long enough
                self.files.clock.sleep(pause)
        later = age(STALE_RENEWALS * (self.me.renewed_every or 0))
        hint = f"The next run in this folder takes it over at once, one elsewhere {later} from now."
        events.emit(events.Warned(f"The lock {self.path} could not be let go: {why}", hint))
        return False


def _look_at_id(files: Files, path: str) -> LockHolder | None:
    """As `_look`, without the file's date. What cannot be read may have been cut on the way: it is read again."""
    found: LockHolder | None = None
    for _ in range(2):
        content = files.read(path)
        found = None if content is None else LockHolder.read(content)
        if found is None or found.id:
            break
    return found
