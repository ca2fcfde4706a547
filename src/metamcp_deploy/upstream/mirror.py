"""What is fetched from an upstream: a bare repository in the cache that keeps each commit asked for, without history.

A commit without history is 4 MB where the whole upstream is 22, and the next one costs only what differs. Each is
kept under `refs/pins/<commit>`, so that nothing upstream deletes or moves takes it away. A new mirror is made beside
its place and renamed, so one that is there is whole; one that turns out to be broken is made anew.
"""

from __future__ import annotations

import fcntl
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from metamcp_deploy import events, fingerprint
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.upstream import git_errors
from metamcp_deploy.upstream.refs import Listing

if TYPE_CHECKING:
    from metamcp_deploy.git.repository import Commands, RemoteProgress, Repository

SILENCE_SECONDS = 30.0
"""A network operation that gives no byte of output for so long is ended; one that moves is never cut."""

BUSY_PAUSES = (2.0, 5.0, 15.0)
"""Seconds before the next try where the host answers 429, 502, 503 or 504; git does not show its Retry-After."""

_WAIT_SECONDS = 0.1
_T = TypeVar("_T")


@dataclass(frozen=True)
class Source:
    """An upstream that can be asked and fetched from."""

    address: str
    env: Mapping[str, str]

    def look_up(self) -> Listing:
        """All branches and tags and their commits: one question over the network.

        Raises:
            DeployError: UPSTREAM_UNREACHABLE, UPSTREAM_AUTH, UPSTREAM_REFUSED.
        """
        from metamcp_deploy.git.repository import Commands

        events.emit(events.Progress(f"Asking {self.address}"))

        def ask() -> str:
            with self._over_the_network(Commands()) as git:
                # It writes nothing before it has all. Its trace shows that the answer moves; it holds no credentials.
                git.env = {**git.env, "GIT_TRACE_PACKET": "1"}
                return str(git.ls_remote("--heads", "--tags", "--", self.address))

        listing = Listing.parse(self._tried(ask))
        if not listing.commits:
            raise git_errors.empty(self.address)
        return listing

    def fetch(self, into: Path, commit: str) -> None:
        """Brings one commit into a repository as `refs/pins/<commit>`, without history where the server can do that.

        Raises:
            DeployError: REF_UNKNOWN when the upstream does not have it; as `look_up`; DISK_FULL.
        """
        pin = f"refs/pins/{commit}"
        try:
            self._fetch(into, f"+{commit}:{pin}", depth=1)
            return
        except _NotOfferedError as e:
            if e.absent:
                raise self._unknown(commit) from None
        # An older server gives out only what its refs name: bring those, with their history.
        self._fetch(into, "+refs/*:refs/upstream/*")
        with opened(into) as repository:
            done = repository.git.update_ref(
                pin, f"{commit}^{{commit}}", with_extended_output=True, with_exceptions=False
            )
        if done[0] != 0:
            raise self._unknown(commit)

    def _fetch(self, into: Path, refspec: str, **options: Any) -> None:
        self._tried(lambda: self._fetched(into, refspec, **options))

    def _tried(self, act: Callable[[], _T]) -> _T:
        """What an act over the network gives; tried again while the host says that it is busy."""
        for pause in BUSY_PAUSES:
            try:
                return act()
            except DeployError as e:
                if not git_errors.BUSY.search(e.detail or ""):
                    raise
                events.emit(events.Progress(f"{self.address} is busy; trying again in {pause:g} s"))
                time.sleep(pause)
        return act()

    def _fetched(self, into: Path, refspec: str, **options: Any) -> None:
        from metamcp_deploy.git.repository import FailedError, Remote

        with opened(into) as repository, self._over_the_network(repository.git):
            # The library reads this file afterwards, and cannot interpret a commit that was asked for by its id.
            Path(repository.git_dir, "FETCH_HEAD").write_bytes(b"")
            try:
                Remote(repository, self.address).fetch(
                    refspec,
                    progress=_progress(f"Fetching {self.address}"),
                    verbose=False,
                    no_write_fetch_head=True,
                    no_tags=True,
                    no_recurse_submodules=True,
                    **options,
                )
            except FailedError as e:
                if refused := git_errors.NOT_OFFERED.search(e.complaint):
                    raise _NotOfferedError(absent=refused.group() == "not our ref") from None
                raise

    def _unknown(self, commit: str) -> DeployError:
        return DeployError(
            Code.REF_UNKNOWN,
            f"{self.address} has no commit {commit}.",
            hint="Correct `upstream.ref` in metamcp.yaml or --ref, or ask who gave you the commit.",
        )

    @contextmanager
    def _over_the_network(self, git: Commands) -> Iterator[Commands]:
        """Commands that reach the upstream as the user would; what they complain of becomes an error of ours."""
        from metamcp_deploy.git.repository import FailedError

        git.env, git.silence = self.env, SILENCE_SECONDS
        try:
            with git.ended():
                yield git
        except FailedError as e:
            raise git_errors.from_network(e.complaint, self.address) from None
        except DeployError as e:
            if e.code is not Code.PROCESS_SILENT:
                raise
            raise git_errors.silent(self.address, SILENCE_SECONDS) from None


class _NotOfferedError(Exception):
    """The server does not give out a commit by its id; `absent` when it would if it had it."""

    def __init__(self, *, absent: bool) -> None:
        super().__init__()
        self.absent = absent


@dataclass(frozen=True)
class Mirror:
    """The bare repository that keeps what was fetched from one URL."""

    path: Path

    @classmethod
    def of(cls, address: str, cache: Path) -> Mirror:
        """The mirror's place: `mirrors/<digest of the url>` in the cache."""
        folder = cache / "mirrors"
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder / f"{fingerprint.of_bytes(address.encode())[:16]}.git")

    @contextmanager
    def held(self) -> Iterator[None]:
        """One process at a time; the system lets go when it ends, however it ends."""
        with self.path.with_suffix(".lock").open("a") as lock:
            for waited in itertools.count():
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if waited == 0:
                        events.emit(events.Progress("Waiting for another `prepare` of the same upstream"))
                    time.sleep(_WAIT_SECONDS)
            yield

    def has(self, commit: str) -> bool:
        """Whether the commit is there and whole enough to name its tree."""
        from metamcp_deploy.git.repository import UNREADABLE, Repository

        try:
            with Repository(self.path) as repository:
                return bool(repository.git.rev_parse("--verify", "--quiet", f"refs/pins/{commit}^{{tree}}"))
        except UNREADABLE:
            return False

    def add(self, source: Source, commit: str) -> None:
        """Fetches a commit, into the mirror that is there or into a new one. Call it inside `held`.

        Raises:
            DeployError: as `Source.fetch`.
        """
        if self.path.is_dir():
            try:
                source.fetch(self.path, commit)
                return
            except DeployError as e:
                # Refused for what the upstream or the network said: another mirror would not change that.
                if not self._is_broken():
                    raise
                events.emit(events.Note(f"The mirror {self.path} was broken ({e.message}); made anew."))
        for left in self.path.parent.glob(f"{self.path.name}.new-*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f"{self.path.name}.new-"))
        try:
            new_repository(fresh, bare=True)
            source.fetch(fresh, commit)
            self.drop()
            fresh.rename(self.path)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise

    def drop(self) -> None:
        """Removes the mirror."""
        shutil.rmtree(self.path, ignore_errors=True)

    def check_out(self, commit: str, folder: Path) -> None:
        """A repository of its own with one commit, checked out; a mirror is shallow, so git packs it anew.

        Raises:
            DeployError: DISK_FULL; PROCESS_FAILED for a broken mirror.
        """
        with opened(self.path) as mirror, mirror.git.ended():
            mirror.git.update_ref("--no-deref", "HEAD", commit)
            mirror.clone(folder, no_tags=True).close()

    def _is_broken(self) -> bool:
        """Whether git cannot use the mirror: damaged objects, or locks that a killed git left."""
        from metamcp_deploy.git.repository import UNREADABLE, Repository

        if any(self.path.rglob("*.lock")):
            return True
        try:
            with Repository(self.path) as repository:
                repository.git.fsck("--connectivity-only")
        except UNREADABLE:
            return True
        return False


@contextmanager
def opened(folder: Path) -> Iterator[Repository]:
    """A repository for work on this machine.

    Raises:
        DeployError: DISK_FULL, PROCESS_FAILED for anything that git or the library cannot read.
    """
    from metamcp_deploy.git.repository import UNREADABLE, FailedError, Repository

    try:
        with Repository(folder) as repository:
            yield repository
    except FailedError as e:
        raise git_errors.on_this_machine(e.complaint, e.command_line, e.returncode) from None
    except UNREADABLE as e:
        raise git_errors.unreadable(folder, e) from None


def new_repository(folder: Path, *, bare: bool = False) -> None:
    """An empty repository without hooks and other things that a user's template folder would add."""
    from metamcp_deploy.git.repository import Repository

    Repository.init(folder, quiet=True, bare=bare).close()


def _progress(what: str) -> RemoteProgress:
    """Turns git's progress lines into events. GitPython knows their forms."""
    from metamcp_deploy.git.repository import RemoteProgress

    steps = {
        RemoteProgress.COUNTING: "objects counted",
        RemoteProgress.COMPRESSING: "objects compressed",
        RemoteProgress.RECEIVING: "objects",
        RemoteProgress.RESOLVING: "deltas",
    }

    class Watched(RemoteProgress):
        def update(
            self,
            op_code: int,
            cur_count: str | float,
            max_count: str | float | None = None,
            message: str = "",
        ) -> None:
            total = float(max_count) if max_count else None
            events.emit(events.Progress(what, float(cur_count), total, steps.get(op_code & self.OP_MASK, "")))

    return Watched()
