"""The ledger of applied migrations against the journal of a release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database.deployed import Migration
from metamcp_deploy.database.facts import asking
from metamcp_deploy.database.facts.schema import LEDGER, Schema

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True)
class Applied:
    """A row of the ledger.

    Attributes:
        name: of the migration in the release; None where the release knows none of that `when`.
        when: milliseconds since the epoch, of the migration, not of its application.
        hash: of the SQL that was applied.
        altered: whether the release has other SQL under that name.
    """

    name: str | None
    when: int
    hash: str
    altered: bool = False


@dataclass(frozen=True)
class Migrations:
    """What is applied, and what a release would apply.

    Attributes:
        readable: whether this login may read the ledger; without that `applied` is empty and says nothing.
        ledger: whether there is one.
        applied: rows of the ledger, by `when`.
        pending: names of the release's migrations that are later than the last applied one: the next start runs them.
        skipped: names of those that are not applied and earlier: the migrator would refuse to go on.
        known: whether the release's journal is known; without it the others are empty.
    """

    readable: bool
    ledger: bool
    applied: tuple[Applied, ...] = ()
    pending: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    known: bool = True

    @property
    def unknown(self) -> tuple[Applied, ...]:
        """Rows that the release does not know: the database is ahead of it."""
        return tuple(one for one in self.applied if one.name is None) if self.known else ()

    @property
    def altered(self) -> tuple[Applied, ...]:
        """Rows whose SQL differs from the release's: of the unpatched upstream, or of another version of a patch."""
        return tuple(one for one in self.applied if one.altered)

    @property
    def newest(self) -> datetime | None:
        """When the last applied migration was written by its author."""
        return datetime.fromtimestamp(self.applied[-1].when / 1000).astimezone() if self.applied else None


def migrations(
    connection: psycopg.Connection[Any], found: Schema, journal: Sequence[Migration] | None
) -> Migrations:
    """The ledger of a schema against a journal (`Deployed.migrations`); one statement."""
    from psycopg import sql

    known = journal is not None
    journal = journal or ()
    names = tuple(one.name for one in journal)
    if not found.exists or found.ledger is None:
        return Migrations(found.readable or not found.exists, False, pending=names, known=known)
    table = sql.Identifier(found.name, LEDGER)
    allowed = asking.row(
        connection,
        "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS yes"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        (found.name, LEDGER),
    )
    if not allowed["yes"]:
        return Migrations(False, True, known=known)
    statement = sql.SQL("SELECT hash, created_at FROM {} ORDER BY created_at, id").format(table)
    by_when = {one.when: one for one in journal}
    applied = tuple(
        _applied(int(row["created_at"]), str(row["hash"]), by_when)
        for row in asking.rows(connection, statement)
    )
    whens = {one.when for one in applied}
    last = max(whens, default=-1)
    missing = [one for one in journal if one.when not in whens]
    return Migrations(
        True,
        True,
        applied,
        tuple(one.name for one in missing if one.when > last),
        tuple(one.name for one in missing if one.when <= last),
        known,
    )


def _applied(when: int, digest: str, by_when: dict[int, Migration]) -> Applied:
    known = by_when.get(when)
    return Applied(known.name if known else None, when, digest, bool(known and known.hash != digest))
