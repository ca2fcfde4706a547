"""The stage `prepare`: a pristine checkout of the pinned upstream in `build/upstream`.

In: `settings.upstream` (url, ref, commit as a lock). Out: the checkout, and the facts `url`, `ref`, `kind`, `commit`,
`date` (of the commit, ISO 8601). It makes one network request, to resolve the ref; none for a full commit in the cache.
Only a missing commit is fetched.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from metamcp_deploy import disk, events, fingerprint, pipeline, resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.git import environments
from metamcp_deploy.upstream import address, advisories, refs
from metamcp_deploy.upstream.mirror import Mirror, Source, new_repository, opened
from metamcp_deploy.upstream.refs import Pin

NAME, REMOTE = "prepare", False
Wishes = pipeline.NoWishes
# What shapes the checkout, below the package.
SOURCES = (
    *("stages/prepare.py", "git", "upstream", "knowledge/git"),
    *("knowledge/__init__.py", "knowledge/entry.py", "knowledge/loading.py", "knowledge/place.py"),
)
_LANDMARK = "apps/backend/src/db/schema.ts"
"""There in every MetaMCP from v2.0.0 on, and in nothing older."""


def step(project: Project, wishes: pipeline.NoWishes | None = None) -> pipeline.Step:
    """The stage as data. Refuses bad URLs and refs at once.

    Raises:
        DeployError: UPSTREAM_REFUSED, UPSTREAM_UNREACHABLE (a path that is not there), REF_UNSUPPORTED.
    """
    wanted = project.settings.upstream
    url = address.checked(wanted.url, project.folder)
    refs.check(wanted.ref)
    preparation = _Preparation(project, url)
    return pipeline.Step(
        name=NAME,
        inputs={"this tool": fingerprint.of_own_sources(*SOURCES)},
        params={"`upstream.url`": url, "`upstream.ref`": wanted.ref, "`upstream.commit`": wanted.commit},
        outputs=(project.upstream,),
        run=preparation.run,
        summary=lambda facts: f"{facts['ref']} is commit {facts['commit'][:7]} of {facts['date'][:10]}",
        valid=preparation.valid,
    )


def origin(project: Project) -> tuple[str, str]:
    """URL and ref of the pin, as a release names them.

    Raises:
        DeployError: as of `step`.
    """
    wanted = project.settings.upstream
    return address.checked(wanted.url, project.folder), wanted.ref


def commit_of(project: Project) -> str | None:
    """What the pin stands for now; None where the upstream cannot be asked."""
    try:
        return _Preparation(project, origin(project)[0]).pin.commit
    except DeployError as e:
        if e.code is not Code.UPSTREAM_UNREACHABLE:
            raise
        return None


@dataclass(frozen=True)
class _Preparation:
    project: Project
    url: str

    @property
    def _ref(self) -> str:
        return self.project.settings.upstream.ref

    @cached_property
    def source(self) -> Source:
        from metamcp_deploy.network import Network

        project = self.project
        network = Network.of(project.settings.network, kept=project.certificates)
        return Source(self.url, environments.network(network.git_environment(), self.url))

    @cached_property
    def pin(self) -> Pin:
        """What the ref stands for now. Asked once, though a run needs it twice."""
        locked = self.project.settings.upstream.commit
        try:
            pin = self._resolved()
        except DeployError as e:
            # The lock says which commit it must be anyway; only a move would go unnoticed.
            if e.code is not Code.UPSTREAM_UNREACHABLE or locked is None or not self._cached(locked):
                raise
            _unasked(e, self._ref, locked)
            pin = Pin(self._ref, "commit", locked)
        refs.check_commit(pin.commit)
        refs.check_lock(pin, locked)
        return pin

    def _resolved(self) -> Pin:
        commit = refs.as_commit(self._ref)
        if commit:
            return Pin(self._ref, "commit", commit)
        return self.source.look_up().resolve(self._ref, self.url)

    def _cached(self, commit: str) -> bool:
        return self.project.use_cache and Mirror.of(self.url, resources.cache_folder()).has(commit)

    def valid(self, facts: pipeline.Facts) -> str | None:
        """Why the checkout of the last run will not do: touched by somebody, or the ref has moved."""
        before = facts.get("commit", "")
        if reason := changed(self.project.upstream, before):
            return reason
        try:
            now = self.pin.commit
        except DeployError as e:
            if e.code is not Code.UPSTREAM_UNREACHABLE:
                raise
            _unasked(e, self._ref, before)
            return None
        if now == before:
            return None
        if self.pin.kind == "tag":
            refs.warn_moved(self._ref, before, now)
        return f"{self._ref} moved from {before[:7]} to {now[:7]}"

    def run(self) -> pipeline.Facts:
        """Makes the checkout beside its place and puts it there when it is whole."""
        pin = self.pin
        refs.warn(pin)
        build = self.project.build
        try:
            self.project.make_build()
            for left in build.glob(".upstream-*"):
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=build, prefix=".upstream-") as beside:
                fresh = Path(beside, "new")
                self._check_out(pin.commit, fresh)
                if not (fresh / _LANDMARK).is_file():
                    raise _not_metamcp(pin, self.url)
                with opened(fresh) as repository:
                    date = repository.head.commit.committed_datetime.isoformat()
                if self.project.upstream.exists():
                    self.project.upstream.rename(Path(beside, "old"))
                fresh.rename(self.project.upstream)
            holes = advisories.of_tree(self.project.upstream, pin.ref, pin.commit)
        except OSError as e:
            raise _file_error(e) from e
        if other := advisories.known_commit(self.project.upstream, pin.ref, pin.commit):
            refs.warn_other(pin, other)
        if warned := advisories.warning(holes, pin.ref):
            events.emit(warned)
        found = {"url": self.url, "ref": pin.ref, "kind": pin.kind, "commit": pin.commit, "date": date}
        return {**found, "advisories": advisories.as_facts(holes)}

    def _check_out(self, commit: str, folder: Path) -> None:
        if not self.project.use_cache:
            new_repository(folder)
            self.source.fetch(folder, commit)
            with opened(folder) as repository:
                repository.git.checkout("--quiet", "--detach", commit)
            return
        mirror = Mirror.of(self.url, resources.cache_folder())
        with mirror.held():
            if not mirror.has(commit):
                mirror.add(self.source, commit)
            try:
                mirror.check_out(commit, folder)
            except DeployError as e:
                if e.code is not Code.PROCESS_FAILED:
                    raise
                events.emit(events.Note(f"The mirror {mirror.path} was broken; made anew."))
                shutil.rmtree(folder, ignore_errors=True)
                mirror.drop()
                mirror.add(self.source, commit)
                mirror.check_out(commit, folder)


def changed(upstream: Path, commit: str) -> str | None:
    """Why a checkout is not the pristine `commit`; None when it is."""
    if not (upstream / ".git").is_dir():
        return "checkout was changed: it has no .git"
    from metamcp_deploy.git.repository import UNREADABLE, Repository

    try:
        with Repository(upstream) as repository:
            # Named: git would take a repository further up when this one is damaged.
            repository.git.set_persistent_git_options(git_dir=repository.git_dir, work_tree=upstream)
            lines = repository.git.status("--porcelain", "--untracked-files=all").splitlines()
            head = repository.git.rev_parse("HEAD")
    except UNREADABLE:
        return "checkout was changed: git cannot read it"
    if lines:
        more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        return f"checkout was changed: {lines[0][3:]}{more}"
    if head != commit:
        return "checkout was changed: it is of another commit"
    return None


def _unasked(error: DeployError, ref: str, commit: str) -> None:
    text = f"{error.message} Whether {ref} moved is unknown; going on with {commit[:7]}."
    events.emit(events.Warned(text, error.hint))


def _not_metamcp(pin: Pin, url: str) -> DeployError:
    return DeployError(
        Code.REF_UNSUPPORTED,
        f"{pin.ref} of {url} has no {_LANDMARK}: it is not MetaMCP 2.0.4 or later.",
        hint="Correct `upstream.url` and `upstream.ref` in metamcp.yaml, or --url and --ref.",
    )


def _file_error(error: OSError) -> DeployError:
    if disk.is_full(error):
        return disk.full(error.filename or "the checkout")
    return DeployError(
        Code.FILE_ACCESS,
        f"A file of the checkout or the cache cannot be written: {error}.",
        hint=f"Check who owns {error.filename or 'build/'} and its permissions (you are user {os.getuid()}).",
    )
