"""The workspace of a target: one login and one lock for all acts of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy import fingerprint, resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import DeployError
from metamcp_deploy.target.site import Site, root

if TYPE_CHECKING:
    from metamcp_deploy.network import Network
    from metamcp_deploy.workspace import Workspace


@dataclass
class Session:
    """What the acts of one run share.

    Attributes:
        workspaces: logins, by what they were made from.
        roots: roots whose lock is held.
        converged: by root, what `bundle-deploy` knew at its end, for `app-deploy` right after it.
        deployments: ids of the deployments that this run began.
        ending: what happens when the run ends, last first.
    """

    workspaces: dict[Any, Workspace] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    converged: dict[str, Any] = field(default_factory=dict)
    deployments: list[str] = field(default_factory=list)
    ending: ExitStack = field(default_factory=ExitStack)

    def lock(self, site: Site, force: bool) -> None:
        """Takes the lock of a root unless this run holds it, until the run ends."""
        from metamcp_deploy.workspace import lock

        if site.root in self.roots:
            return
        held = lock.held(site.workspace.files, site.root, site.workspace.me, _memory(site), force=force)
        self.ending.enter_context(held)
        site.workspace.secrets.forget()  # whoever held the lock may have rotated the key that signs
        self.roots.add(site.root)
        self.ending.callback(self.roots.discard, site.root)


def swept(project: Project) -> None:
    """Lets go of a lock that a killed run of this folder left, unless this run holds it now."""
    from metamcp_deploy.workspace import lock

    here = site(project)
    if _session is None or here.root not in _session.roots:
        with suppress(DeployError):  # a courtesy to others: here the next run takes it over
            lock.sweep(here.workspace.files, here.root, _memory(here))


def _memory(site: Site) -> Path:
    """Where this machine remembers the lock that it holds; nothing is left in a folder that is no project's."""
    if not site.project.bare:
        return site.project.state / f"lock-{site.project.settings.target}"
    return resources.cache_folder() / "locks" / fingerprint.of_value([site.workspace.host, site.root])[:16]


_session: Session | None = None  # of this process: threads of a run share it, too


@contextmanager
def shared() -> Iterator[Session]:
    """One login and one lock for all acts in the block; re-entrant: the outermost one ends them."""
    global _session
    if _session is not None:
        yield _session
        return
    _session = Session()
    try:
        with _session.ending:
            yield _session
    finally:
        _session = None


@contextmanager
def locked(site: Site, force: bool = False) -> Iterator[None]:
    """Holds the target's lock for the time of the block, or, inside `shared()`, until that ends; re-entrant.

    Args:
        site: the target's place in its workspace.
        force: take the lock although somebody holds it.

    Raises:
        DeployError: LOCK_HELD, with the holder and the age of the lock.
    """
    with shared() as session:
        session.lock(site, force)
        yield


def site(project: Project, workspace: Workspace | None = None) -> Site:
    """The target's place in its workspace.

    Args:
        project: with the target's settings.
        workspace: instead of the one that `connect` gives.

    Raises:
        DeployError: as `connect`.
    """
    workspace = workspace or connect(project)
    stated = project.settings.workspace.root_path
    return Site(project, workspace, root(project.settings, "" if stated else workspace.me))


def connect(project: Project, *, start: bool = False) -> Workspace:
    """Logs in to the target's workspace.

    Args:
        project: with the target's settings.
        start: the embedded workspace, when it does not run: for acts that make something in it.

    Raises:
        DeployError: HOST_MISMATCH, AUTH_FAILED, WORKSPACE_UNREACHABLE; what `local.up` or `local.reached` raises.
    """
    settings = project.settings
    made_from = (project.folder, settings.embedded, settings.workspace, settings.network)
    found = _session.workspaces.get(made_from) if _session else None
    if found is None:
        found = _connected(project, start)
        if _session:
            _session.workspaces[made_from] = found
    return found


def connect_or_unmade(project: Project) -> Workspace:
    """As `connect`, for plans: where no embedded workspace was made yet, one that holds nothing and takes no writes."""
    if not unmade(project):
        return connect(project)
    from metamcp_deploy.local import unmade as nothing

    return nothing.workspace(_network(project))


def unmade(project: Project) -> bool:
    """Whether the target is an embedded workspace that nothing was made of yet."""
    from metamcp_deploy import local

    return project.settings.embedded and not local.made(project)


def _network(project: Project) -> Network:
    from metamcp_deploy.network import Network

    return Network.of(project.settings.network, kept=project.certificates)


def _connected(project: Project, start: bool) -> Workspace:
    from metamcp_deploy.workspace import Workspace

    settings, network = project.settings, _network(project)
    if not settings.embedded:
        return Workspace.connect(settings, network)
    from metamcp_deploy import local

    running = local.up(project) if start else local.reached(project)
    return Workspace.connect(
        settings,
        network,
        host=running.url,
        client_id=running.client_id,
        client_secret=running.client_secret,
        workspace_id=running.workspace_id,
    )
