"""An app with its database open: what every command about it begins with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from metamcp_deploy.config.project import Project
from metamcp_deploy.database import connection, deployed, facts, principal
from metamcp_deploy.database import server as servers
from metamcp_deploy.database.deployed import Deployed
from metamcp_deploy.database.server import Login, Server
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import locate, session
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    import psycopg

    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

SECONDS = 45.0  # for a database that wakes up, and a credential that is not known everywhere yet


@dataclass(frozen=True)
class Opened:
    """An app, what it says of its database, and a connection; facts are asked for once.

    Attributes:
        place: of the target, or its workspace alone.
        app: as the workspace describes it.
        deployed: the app's side.
        connection: of the caller, or of the app's database principal.
        fresh: gives the address and a fresh login as the connection's: a credential may have ended.
    """

    place: Site | Workspace
    app: App
    deployed: Deployed
    connection: psycopg.Connection[Any]
    fresh: Callable[[], tuple[Server, Login]]

    @cached_property
    def identity(self) -> facts.Identity:
        """Who is logged in."""
        return facts.identity(self.connection, self.deployed.role)

    @cached_property
    def schema(self) -> facts.Schema:
        """MetaMCP's."""
        known = deployed.objects_of(self.deployed.migrations or ())
        return facts.schema(self.connection, self.deployed.schema, self.deployed.role, known)

    @cached_property
    def migrations(self) -> facts.Migrations:
        """The ledger against the release that runs."""
        return facts.migrations(self.connection, self.schema, self.deployed.migrations)

    @cached_property
    def settings(self) -> facts.Settings:
        """The server's."""
        return facts.settings(self.connection, self.deployed.role)

    @cached_property
    def activity(self) -> facts.Activity:
        """Sessions and locks."""
        return facts.activity(self.connection, self.deployed.role)


def place_of(project: Project) -> Site | Workspace:
    """The target's place; where the app's code came from elsewhere, its workspace alone."""
    try:
        return locate.site(project)
    except DeployError as e:
        if e.code is not Code.NOT_DEPLOYED:
            raise
        return session.connect(project)


def app_of(project: Project) -> tuple[Site | Workspace, App]:
    """The target's place and its app.

    Raises:
        DeployError: NOT_FOUND without the app; those of the login.
    """
    place = place_of(project)
    workspace = place.workspace if isinstance(place, Site) else place
    return place, workspace.apps.get(project.settings.app.name)


@contextmanager
def opened(
    project: Project,
    *,
    seconds: float = SECONDS,
    read_only: bool = True,
    statement_timeout: float = 10.0,
    as_app: bool = False,
) -> Iterator[Opened]:
    """The target's app with its database open for the time of a block.

    Args:
        project: with the target's settings.
        seconds: until the database answers.
        read_only: refuse writes.
        statement_timeout: seconds.
        as_app: log in as the app's database principal where the caller can (`database.principal`): what is made then
            is the app's.

    Raises:
        DeployError: as `connection.connect`.
    """
    until = time.monotonic() + seconds
    place, app = app_of(project)

    def fresh() -> tuple[Server, Login]:
        instead = principal.login(place, app, deployed.role_of(place, app)) if as_app else None
        return instead or servers.find(place, app)

    with ThreadPoolExecutor(2, thread_name_prefix="database") as pool:
        says = pool.submit(deployed.look, place, app)
        made = connection.logged_in(
            fresh, place, app, until=until, read_only=read_only, statement_timeout=statement_timeout
        )
    with made:
        yield Opened(place, app, says.result(), made, fresh)
