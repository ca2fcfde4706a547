"""An app with its database open: what every command about it begins with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from metamcp_deploy.config.project import Project
from metamcp_deploy.database import connection, deployed, facts
from metamcp_deploy.database.deployed import Deployed
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
    """An app, what it says of its database, and a connection of the caller; facts are asked for once."""

    place: Site | Workspace
    app: App
    deployed: Deployed
    connection: psycopg.Connection[Any]

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
    project: Project, *, seconds: float = SECONDS, read_only: bool = True, statement_timeout: float = 10.0
) -> Iterator[Opened]:
    """The target's app with its database open for the time of a block.

    Raises:
        DeployError: as `connection.connect`.
    """
    place, app = app_of(project)
    with ThreadPoolExecutor(2, thread_name_prefix="database") as pool:
        says = pool.submit(deployed.look, place, app)
        connecting = pool.submit(
            connection.connect,
            place,
            app,
            timeout=seconds,
            read_only=read_only,
            statement_timeout=statement_timeout,
        )
        made = connecting.result()
    with made:
        yield Opened(place, app, says.result(), made)
