"""The app's database in one look, over one connection of the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database import connection as connections
from metamcp_deploy.database import external, facts, server
from metamcp_deploy.database.facts import asking
from metamcp_deploy.database.facts.schema import LEDGER
from metamcp_deploy.target import databases

if TYPE_CHECKING:
    import psycopg

    from metamcp_deploy.deployments.records import Record
    from metamcp_deploy.target.site import Site
    from metamcp_deploy.workspace.apps import App

_STATEMENT_SECONDS = 2.0
_USUAL = "metamcp_app"  # the schema where no settings name one
_PRINCIPAL = "METAMCP_DATABASE_CLIENT_ID"
_LEDGERS = """
SELECT n.nspname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %s AND pg_get_userbyid(c.relowner) = %s ORDER BY n.nspname = %s DESC, 1
"""


@dataclass(frozen=True)
class Ledger:
    """The migrations in the database against those of the release that runs.

    Attributes:
        applied: how many; None where this login may not read the ledger.
        pending: names of the release's that are not applied; None where the release's are not known.
        unknown: how many are applied that the release does not know; None likewise.
    """

    applied: int | None
    pending: tuple[str, ...] | None
    unknown: int | None


@dataclass(frozen=True)
class Data:
    """The database, as it is now.

    Attributes:
        kind: autoscaling, provisioned or external.
        state: as the workspace says it (ACTIVE, IDLE, AVAILABLE); empty for an external one.
        version: of PostgreSQL.
        bytes: size.
        connections: of the app's role.
        most_connections: that it can have.
        server_connections: of all.
        oldest_transaction_seconds: since when the oldest open transaction is open; None without one.
        waiting: sessions that wait for a lock.
        ledger: the migrations.
    """

    kind: str
    state: str
    version: str
    bytes: int
    connections: int
    most_connections: int
    server_connections: int
    oldest_transaction_seconds: float | None
    waiting: int
    ledger: Ledger

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        shown = asdict(self)
        shown["migrations"] = shown.pop("ledger")
        return shown


def look(site: Site, app: App, recorded: Callable[[], Record | None], seconds: float) -> Data:
    """Looks once: three requests to the workspace, one login, seven statements.

    Args:
        site: the target's place.
        app: as the workspace describes it.
        recorded: gives the record of the deployment that runs.
        seconds: until it is logged in.

    Raises:
        DeployError: as `database.connection.connect`.
    """
    until = time.monotonic() + seconds
    found, login = server.find(site, app)
    with connections.open_(
        found, login, site.workspace, until=until, statement_timeout=_STATEMENT_SECONDS
    ) as connection:
        record = recorded()
        role = _role(site, app, record)
        server_facts = facts.settings(connection, role)
        seen = facts.activity(connection, role)
        oldest = seen.oldest_transaction
        return Data(
            kind=found.kind,
            state=found.state,
            version=server_facts.version,
            bytes=server_facts.bytes,
            connections=seen.role_connections,
            most_connections=seen.most,
            server_connections=seen.server_connections,
            oldest_transaction_seconds=oldest.transaction_age if oldest else None,
            waiting=len({one.waiting.pid for one in seen.locks}),
            ledger=_ledger(connection, site, role, record.migrations if record else None),
        )


def _role(site: Site, app: App, record: Record | None) -> str:
    """The role that the app logs in as, by what is known already (`database.deployed.role_of` asks for it)."""
    if not databases.attached(app.resources).identity:
        return external.login(site, app)[0].user
    env = (record.raw.get("env") or []) if record else []
    named = next((one.get("value") for one in env if one.get("name") == _PRINCIPAL), None)
    stated = None if site.project.bare else site.project.settings.database.login
    return str(named or (stated.client_id if stated else app.principal))


def _ledger(
    connection: psycopg.Connection[Any], site: Site, role: str, names: tuple[str, ...] | None
) -> Ledger:
    """The ledger by its length: the launcher starts on one that holds the release's migrations in their order only."""
    stated = _USUAL if site.project.bare else site.project.settings.database.schema_
    places = asking.rows(connection, _LEDGERS, (LEDGER, role, stated))
    schema = facts.schema(connection, str(places[0]["name"]) if places else stated, role)
    found = facts.migrations(connection, schema, None)
    if not found.readable:
        return Ledger(None, None, None)
    applied = len(found.applied)
    if names is None:
        return Ledger(applied, None, None)
    return Ledger(applied, names[applied:], max(0, applied - len(names)))
