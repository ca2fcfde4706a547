"""`db credential`: whose credential the caller gets what it opens, and the launcher's own way to one, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import connection, deployed, facts, principal
from metamcp_deploy.database import server as servers
from metamcp_deploy.database.opening import SECONDS, app_of
from metamcp_deploy.errors import DeployError
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.database.server import Login, Server
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App


@dataclass(frozen=True)
class Minted:
    """A credential that opened the database.

    Attributes:
        server: that it opens.
        login: whose, with the password.
        identity: the role beside the app's.
        principal: client id of the app's own service principal.
        owner: of MetaMCP's schema; None without one.
    """

    server: Server
    login: Login
    identity: facts.Identity
    principal: str
    owner: str | None

    @property
    def ends(self) -> datetime | None:
        """When it ends."""
        return self.login.ends


@dataclass
class Step:
    """One step of the launcher's way, as it went; `outcome` is ok, failed or skipped."""

    name: str
    outcome: str = "skipped"
    said: str = ""
    seconds: float = 0.0


@dataclass
class AsApp:
    """The launcher's way to the database, and where it ended."""

    role: str
    steps: list[Step] = field(default_factory=list)
    failure: DeployError | None = None


def mint(project: Project) -> Minted:
    """A fresh credential of the caller, tried at the database.

    Raises:
        DeployError: as `connection.connect`.
    """
    place, app = app_of(project)
    until = time.monotonic() + SECONDS
    found, login = servers.find(place, app)
    workspace, role = servers.workspace_of(place), deployed.role_of(place, app)
    with connection.open_(found, login, workspace, until=until, place=servers.commands_of(place)) as made:
        who = facts.identity(made, role)
        schema = facts.schema(made, deployed.look(place, app).schema, role)
    return Minted(found, login, who, app.principal, schema.owner)


def as_app(project: Project, client_secret: Secret | None) -> AsApp:
    """What the launcher does at a start, with the same credentials where they can be had.

    Args:
        project: with the target's settings.
        client_secret: of the role's service principal; None takes it from the secret that the app gets it from
            (`database.principal`). The platform hands out that of an app's own principal to the app alone.

    Raises:
        DeployError: NOT_FOUND without the app; those of the login. What fails later is in the result.
    """
    place, app = app_of(project)
    way = AsApp(deployed.role_of(place, app))
    names = ("client secret", "token", "credential", "login", "schema")
    way.steps = [Step(name) for name in names]
    try:
        _walk(way, place, app, client_secret)
    except DeployError as e:
        way.failure = e
    return way


def _walk(way: AsApp, place: Site | Workspace, app: App, given: Secret | None) -> None:
    secret, token, credential, login, schema = way.steps
    if kept := _password(place, app):
        for step in (secret, token, credential):
            step.said = "the app logs in with a password that is kept in a secret"
        found, who = kept
    else:
        found, who = _minted(way, place, app, given, (secret, token, credential))
    with _timed(login) as said:
        workspace, commands = servers.workspace_of(place), servers.commands_of(place)
        made = connection.open_(found, who, workspace, until=time.monotonic() + SECONDS, place=commands)
        said(f"{found.database} at {found.host}:{found.port}")
    with made, _timed(schema) as said:
        name = deployed.look(place, app).schema
        there = facts.schema(made, name, way.role)
        said(f"{name} " + (f"belongs to {there.owner}" if there.exists else "is not there yet"))


def _password(place: Site | Workspace, app: App) -> tuple[Server, Login] | None:
    """The app's login where it needs no credential."""
    database = servers.of_app(place, app)
    if database.identity and principal.password(place, app) is None:
        return None
    return principal.login(place, app, deployed.role_of(place, app))


def _minted(
    way: AsApp, place: Site | Workspace, app: App, given: Secret | None, steps: tuple[Step, Step, Step]
) -> tuple[Server, Login]:
    """The three steps to a credential."""
    database = servers.of_app(place, app)
    with _timed(steps[0]) as said:
        secret = given or principal.secret(place, app)
        said(f"of {way.role}, {'as given' if given else 'from the scope'}")
    with _timed(steps[1]) as said:
        logged_in = principal.workspace(place, way.role, secret)
        said(f"the workspace knows {logged_in.me}")
    with _timed(steps[2]) as said:
        made = servers.mint(logged_in, database)
        ends = f", until {made.ends:%H:%M:%S %Z}" if made.ends else ""
        said(f"{len(made.password.reveal())} characters{ends}")
    address = servers.address_of(servers.workspace_of(place), database, servers.commands_of(place))
    return address, servers.Login(way.role, made.password, made.ends)


@contextmanager
def _timed(step: Step) -> Iterator[Callable[[str], None]]:
    began = time.monotonic()

    def said(text: str) -> None:
        step.outcome, step.said = "ok", text

    try:
        yield said
    except DeployError as e:
        step.outcome, step.said = "failed", e.message
        raise
    finally:
        step.seconds = round(time.monotonic() - began, 3)
