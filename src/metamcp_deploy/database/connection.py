"""A connection to the database of an app, as the caller, read only unless asked for; its failures by their causes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from metamcp_deploy import knowledge
from metamcp_deploy.database import server as servers
from metamcp_deploy.database.server import Login, Server
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.knowledge.place import DEFAULT, Place
from metamcp_deploy.target.databases import Autoscaling
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    import psycopg

    from metamcp_deploy.knowledge.entry import Entry
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

STATEMENT_SECONDS = 5.0
APPLICATION = "metamcp-deploy"
_LEAST_SECONDS = 2  # of libpq's connect_timeout
_PAUSES = (0.2, 0.5, 1.0, 2.0)
# What passes by itself: the same login is tried again until the time is over.
_PASSING = frozenset({"database-asleep", "credential-too-fresh"})
_IDLE = frozenset({"IDLE", "INIT", "STARTING"})


def connect(
    place: Site | Workspace,
    app: App,
    *,
    timeout: float,
    read_only: bool = True,
    statement_timeout: float = STATEMENT_SECONDS,
) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection with autocommit, logged in with a fresh credential of the caller.

    A database that wakes up, and a credential that is not known everywhere yet, are tried again until `timeout`.

    Args:
        place: the target's place, or its workspace alone: then an external database is found by the usual name only.
        app: as the workspace describes it.
        timeout: seconds until it is logged in.
        read_only: refuse writes, by the session's default.
        statement_timeout: seconds for each statement, and for each lock.

    Raises:
        DeployError: DATABASE_REFUSED, DATABASE_UNREACHABLE with the cause of the knowledge base; those of
            `server.find`.
    """
    return logged_in(
        lambda: servers.find(place, app),
        place,
        app,
        until=time.monotonic() + timeout,
        read_only=read_only,
        statement_timeout=statement_timeout,
    )


def logged_in(
    fresh: Callable[[], tuple[Server, Login]],
    place: Site | Workspace,
    app: App,
    *,
    until: float,
    read_only: bool,
    statement_timeout: float,
) -> psycopg.Connection[tuple[Any, ...]]:
    """As `connect`, with the address and the login that `fresh` gives; `until` on the monotonic clock."""
    found, login = fresh()
    return open_(
        found,
        login,
        servers.workspace_of(place),
        until=until,
        read_only=read_only,
        statement_timeout=statement_timeout,
        place=servers.commands_of(place),
        refused=lambda: _without_role(place, app, login),
    )


def open_(
    found: Server,
    login: Login,
    workspace: Workspace,
    *,
    until: float,
    read_only: bool = True,
    statement_timeout: float = STATEMENT_SECONDS,
    place: Place = DEFAULT,
    refused: Callable[[], DeployError | None] = lambda: None,
) -> psycopg.Connection[tuple[Any, ...]]:
    """As `connect`, to a server that is known; `until` on the monotonic clock; `refused` knows why, once asked."""
    import psycopg

    tries = 0
    while True:
        try:
            connection = psycopg.connect(**parameters(found, login, workspace, until), autocommit=True)
            break
        except psycopg.Error as e:
            known = _recognised(str(e), found, login)
            if tries == 0 and known and known.id == "credential-too-fresh" and (reason := refused()):
                reason.detail = _cleaned(str(e), login)
                raise reason from e
            pause = _PAUSES[min(tries, len(_PAUSES) - 1)]
            left = until - time.monotonic() - pause
            if known is None or known.id not in _PASSING or left <= 0:
                raise _failure(str(e), known, found, login, place) from e
        tries += 1
        workspace.clock.pause(pause)
    try:
        _settle(connection, read_only, statement_timeout)
    except psycopg.Error as e:
        connection.close()
        raise _failure(str(e), _recognised(str(e), found, login), found, login, place) from e
    return connection


def parameters(found: Server, login: Login, workspace: Workspace, until: float) -> dict[str, Any]:
    """libpq's. What a user's environment or files say of other databases does not count."""
    left = max(_LEAST_SECONDS, int(until - time.monotonic()))
    return {
        "host": found.host,
        "port": found.port,
        "dbname": found.database,
        "user": login.user,
        "password": login.password.reveal(),
        "sslmode": found.sslmode,
        "sslrootcert": str(workspace.network.trust.combined()) if found.sslmode.startswith("verify") else "",
        "application_name": APPLICATION,
        "client_encoding": "UTF8",  # a database in SQL_ASCII would give bytes
        "connect_timeout": left,
        "gssencmode": "disable",
        "options": "",
        "passfile": "",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


def _settle(connection: psycopg.Connection[Any], read_only: bool, seconds: float) -> None:
    """Limits of the session; with an empty search path, names that somebody made in a schema on it mean nothing."""
    limit = f"{int(seconds * 1000)}ms"
    connection.execute(
        "SELECT pg_catalog.set_config('search_path', '', false),"
        " pg_catalog.set_config('statement_timeout', %s, false),"
        " pg_catalog.set_config('lock_timeout', %s, false),"
        " pg_catalog.set_config('default_transaction_read_only', %s, false)",
        (limit, limit, "on" if read_only else "off"),
    )


def _recognised(said: str, found: Server, login: Login) -> Entry | None:
    """The known failure that a refusal shows. libpq gives no SQLSTATE for a login, so that its words have to do."""
    seen: dict[str, Any] = {"output": said}
    if found.state in _IDLE:
        seen["state"] = "idle"
    elif login.minted and "password authentication failed" in said:
        seen |= {"state": "credential_fresh", "sqlstate": "28P01"}
    return knowledge.recognise("database", **seen) or knowledge.recognise("database", output=said)


def _failure(said: str, known: Entry | None, found: Server, login: Login, place: Place) -> DeployError:
    where = f"{found.database} at {found.host}:{found.port} ({found.name})"
    values = {"server": where, "role": login.user, "name": found.database}
    detail = _cleaned(said, login)
    if known and known.id == "credential-too-fresh":  # it had its time
        known = knowledge.by_id("database", "login-refused")
    if known and known.error:
        return known.error_of(detail, values, place)
    return DeployError(
        Code.DATABASE_REFUSED,
        f"{where} refused the login of {login.user}" + (f": {known.title}." if known else "."),
        hint=known.hint(values, place)
        if known
        else "Look at the words below, then run the same command again.",
        detail=detail,
    )


def _cleaned(said: str, login: Login) -> str:
    return said.strip().replace(login.password.reveal() or "\0", "********")


def _without_role(place: Site | Workspace, app: App, login: Login) -> DeployError | None:
    """That the branch lists no role of the login, where that can be asked: PostgreSQL itself does not tell it."""
    database = servers.of_app(place, app)
    if not isinstance(database, Autoscaling):
        return None
    try:
        if login.user in servers.workspace_of(place).lakebase.roles(database.branch):
            return None
    except DeployError:
        return None  # who may not list them is not told more
    known = knowledge.by_id("database", "login-without-role")
    values = {"role": login.user, "server": database.shown, "name": database.branch}
    return known.error_of(None, values, servers.commands_of(place))
