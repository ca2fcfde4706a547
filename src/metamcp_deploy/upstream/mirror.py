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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy import events, fingerprint
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.upstream import git_errors
from metamcp_deploy.upstream.git import SILENCE_SECONDS, Git, complaint, isolated
from metamcp_deploy.upstream.refs import Remote

_WAIT_SECONDS = 0.1


@dataclass(frozen=True)
class Source:
    """An upstream that can be asked and fetched from."""

    address: str
    git: Git

    def look_up(self) -> Remote:
        """All branches and tags and their commits: one question over the network.

        Raises:
            DeployError: UPSTREAM_UNREACHABLE, UPSTREAM_AUTH, UPSTREAM_REFUSED.
        """
        remote = Remote.parse(self._ask("ls-remote", "--heads", "--tags", "--", self.address))
        if not remote.commits:
            raise git_errors.empty(self.address)
        return remote

    def fetch(self, into: Path, commit: str) -> None:
        """Brings one commit into a repository as `refs/pins/<commit>`, without history where the server can do that.

        Raises:
            DeployError: REF_UNKNOWN when the upstream does not have it; as `look_up`; DISK_FULL.
        """
        pin = f"refs/pins/{commit}"
        fetch = ("fetch", "--progress", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        try:
            self._ask(*fetch, "--depth=1", "--", self.address, f"+{commit}:{pin}", into=into)
            return
        except _NotOfferedError as e:
            if e.absent:
                raise self._unknown(commit) from None
        # An older server gives out only what its refs name: bring those, with their history.
        self._ask(*fetch, "--", self.address, "+refs/*:refs/upstream/*", into=into)
        if isolated().try_("update-ref", pin, f"{commit}^{{commit}}", cwd=into).returncode != 0:
            raise self._unknown(commit)

    def _unknown(self, commit: str) -> DeployError:
        return DeployError(
            Code.REF_UNKNOWN,
            f"{self.address} has no commit {commit}.",
            hint="Correct `upstream.ref` in metamcp.yaml or --ref, or ask who gave you the commit.",
        )

    def _ask(self, *words: str, into: Path | None = None) -> str:
        on_line = _progress(f"Fetching {self.address}") if into else None
        if into is None:
            events.emit(events.Progress(f"Asking {self.address}"))
        try:
            done = self.git.try_(*words, cwd=into, silence=SILENCE_SECONDS, on_line=on_line)
        except DeployError as e:
            if e.code is Code.PROCESS_SILENT:
                raise git_errors.silent(self.address, SILENCE_SECONDS) from None
            raise
        if done.returncode == 0:
            return done.stdout
        text = complaint(done)
        if into and (refused := git_errors.NOT_OFFERED.search(text)):
            raise _NotOfferedError(absent=refused.group() == "not our ref")
        raise git_errors.from_network(text, self.address)


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
        if not self.path.is_dir():
            return False
        done = isolated().try_(
            "rev-parse", "--verify", "--quiet", f"refs/pins/{commit}^{{tree}}", cwd=self.path
        )
        return done.returncode == 0

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

    def point(self, commit: str) -> None:
        """Makes a commit HEAD, so that `git clone` of the mirror gives it."""
        isolated().out("update-ref", "--no-deref", "HEAD", commit, cwd=self.path)

    def _is_broken(self) -> bool:
        """Whether git cannot use the mirror: damaged objects, or locks that a killed git left."""
        if any(self.path.rglob("*.lock")):
            return True
        return isolated().try_("fsck", "--connectivity-only", cwd=self.path).returncode != 0


def new_repository(folder: Path, *, bare: bool = False) -> None:
    """An empty repository without hooks and other things that a user's template folder would add."""
    isolated().out("init", "--quiet", "--template=", *(["--bare"] if bare else []), folder)


def _progress(what: str) -> Callable[[str], None]:
    """Turns git's progress lines into events. GitPython knows their forms."""
    from git.util import RemoteProgress

    class Watched(RemoteProgress):
        def update(
            self,
            op_code: int,
            cur_count: str | float,
            max_count: str | float | None = None,
            message: str = "",
        ) -> None:
            total = float(max_count) if max_count else None
            events.emit(
                events.Progress(what, float(cur_count), total, _STEPS.get(op_code & self.OP_MASK, ""))
            )

    return Watched().new_message_handler()


# RemoteProgress's operation codes: COUNTING, COMPRESSING, WRITING, RECEIVING, RESOLVING.
_STEPS = {4: "objects counted", 8: "objects compressed", 32: "objects", 64: "deltas"}
