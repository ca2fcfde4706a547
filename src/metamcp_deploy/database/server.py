"""Where the database of an app is reached, and the caller's login to it: a fresh credential for each connection."""

from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from metamcp_deploy import knowledge
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import external
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.knowledge.place import DEFAULT, Place
from metamcp_deploy.target import databases
from metamcp_deploy.target.databases import Autoscaling, Database, Provisioned
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App
    from metamcp_deploy.workspace.credential import Credential

PORT = 5432


@dataclass(frozen=True)
class Server:
    """A database's address.

    Attributes:
        kind: autoscaling, provisioned or external.
        name: of the database in the workspace; of an external one its host and database.
        host: its name; TLS is checked against it.
        port: 5432 on the platform.
        database: what Postgres calls it.
        sslmode: libpq's word.
        state: of the endpoint or instance as the workspace says it (ACTIVE, IDLE, AVAILABLE); empty for external.
    """

    kind: str
    name: str
    host: str
    port: int
    database: str
    sslmode: str = "verify-full"
    state: str = ""


@dataclass(frozen=True)
class Login:
    """Who logs in, with what; `ends` is None where a password does not end, or the workspace does not say."""

    user: str
    password: Secret
    ends: datetime | None = None
    minted: bool = True


def workspace_of(place: Site | Workspace) -> Workspace:
    """The workspace of a target's place, or itself."""
    return place.workspace if isinstance(place, Site) else place


def commands_of(place: Site | Workspace) -> Place:
    """Where the commands of a fix go."""
    return Place.of(place.project) if isinstance(place, Site) else DEFAULT


def of_app(place: Site | Workspace, app: App) -> Database:
    """The database that an app has; on a target's own endpoint where its settings name another than the usual one."""
    found = databases.attached(app.resources)
    if isinstance(place, Site) and not place.project.bare and isinstance(found, Autoscaling):
        named = databases.of(place.project.settings).endpoint_name
        return replace(found, endpoint=f"{found.branch}/endpoints/{named}")
    return found


def find(place: Site | Workspace, app: App) -> tuple[Server, Login]:
    """The address of an app's database and a fresh login of the caller, asked for at the same time.

    Raises:
        DeployError: NOT_FOUND for a database that is gone, DATABASE_UNREACHABLE for one that is disabled or stopped,
            PERMISSION_DENIED, NOT_DEPLOYED for an app without one; those of the login.
    """
    database, workspace = of_app(place, app), workspace_of(place)
    if not database.identity:
        url, password = external.login(place, app)
        server = Server(
            "external", f"{url.host}/{url.database}", url.host, url.port, url.database, url.sslmode
        )
        return server, Login(url.user, password, minted=False)
    with ThreadPoolExecutor(3, thread_name_prefix="database") as pool:
        address = pool.submit(address_of, workspace, database, commands_of(place))
        user = pool.submit(lambda: workspace.me)
        credential = pool.submit(mint, workspace, database)
        # First: what it says of a database that is gone counts before a refused credential.
        server = address.result()
        made = credential.result()
        return server, Login(user.result(), made.password, made.ends)


def mint(workspace: Workspace, database: Database) -> Credential:
    """A fresh credential of the caller for a Lakebase database."""
    if isinstance(database, Autoscaling):
        return workspace.lakebase.credential(database.endpoint)
    return workspace.instances.credential(database.holder)


def address_of(workspace: Workspace, database: Database, place: Place = DEFAULT) -> Server:
    """Where a Lakebase database is reached.

    Raises:
        DeployError: as `find`.
    """
    if isinstance(database, Autoscaling):
        return _endpoint(workspace, database, place)
    assert isinstance(database, Provisioned)  # noqa: S101
    raw = workspace.instances.find(database.name)
    if raw is None:
        raise _gone(f"database instance {database.name}", workspace)
    state = str(raw.get("state") or "")
    if not raw.get("read_write_dns"):
        raise _away("instance-stopped", database.name, state, place)
    return _server(database, str(raw["read_write_dns"]), raw.get("port"), database.database, state)


def _endpoint(workspace: Workspace, database: Autoscaling, place: Place) -> Server:
    with ThreadPoolExecutor(2, thread_name_prefix="database") as pool:
        found = pool.map(workspace.lakebase.find, (database.endpoint, database.database))
        endpoint, described = found
    if endpoint is None:
        raise _gone(f"endpoint {database.endpoint}", workspace)
    if described is None:
        raise _gone(f"database {database.database}", workspace)
    status: dict[str, Any] = endpoint.get("status") or {}
    hosts = status.get("hosts") or {}
    state = str(status.get("current_state") or "")
    if status.get("disabled") or not hosts.get("host"):
        raise _away("endpoint-disabled", database.endpoint, state, place)
    name = str((described.get("status") or {}).get("postgres_database") or "")
    return _server(database, str(hosts["host"]), hosts.get("port"), name, state)


def _server(database: Database, host: str, port: object, name: str, state: str) -> Server:
    # The embedded workspace is on this machine, often without TLS, and names the port that the platform need not.
    near = is_loopback(host)
    chosen = int(str(port)) if port and near else PORT
    return Server(
        database.kind, database.shown, host, chosen, name, "prefer" if near else "verify-full", state
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _gone(what: str, workspace: Workspace) -> DeployError:
    return DeployError(
        Code.NOT_FOUND,
        f"The app's database is gone: there is no {what} in {workspace.host}.",
        hint="Look what the app has and what the target wants: metamcp-deploy plan",
    )


def _away(known: str, name: str, state: str, place: Place) -> DeployError:
    values = {"name": name, "what": state or "without a host"}
    return knowledge.by_id("database", known).error_of(f"state: {state}" if state else None, values, place)
