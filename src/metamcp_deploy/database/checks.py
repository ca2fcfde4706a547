"""`db check`: whether the database is as MetaMCP needs it; each check one finding, with a fix that can be pasted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from metamcp_deploy.database import deployed, ownership
from metamcp_deploy.target import locate
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.database.opening import Opened

_SHOWN = 8  # names in a sentence


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"  # this login may not look


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        id: of the check.
        level: how it ended.
        summary: what was seen.
        evidence: names, statements, numbers.
        fix: what ends it; empty where there is nothing to do.
    """

    id: str
    level: Level
    summary: str
    evidence: str = ""
    fix: str = ""


def check(seen: Opened) -> list[Finding]:
    """All checks, in the order in which one depends on another."""
    return [*_role(seen), *_writable(seen), *_schema(seen), *_owners(seen), *_ledger(seen)]


def _options(seen: Opened) -> str:
    return locate.called(seen.place.project) if isinstance(seen.place, Site) else f"--app {seen.app.name}"


def _role(seen: Opened) -> Iterator[Finding]:
    who = seen.identity
    if not who.app_exists:
        fix = (
            f"Attach the database again, which makes the role: metamcp-deploy bundle-deploy {_options(seen)}"
        )
        yield Finding(
            "role", Level.ERROR, f"The server has no role {who.app}, as which the app logs in.", fix=fix
        )
        return
    if not (who.app_logs_in and who.app_connects):
        grant = f"GRANT CONNECT, CREATE ON DATABASE {_quoted(who.database)} TO {_quoted(who.app)};"
        what = "CONNECT on the database" if who.app_logs_in else "LOGIN"
        fix = grant if who.app_logs_in else f"ALTER ROLE {_quoted(who.app)} LOGIN;"
        yield Finding("role", Level.ERROR, f"The app's role {who.app} has no {what}.", fix=fix)
        return
    yield Finding("role", Level.OK, f"The app's role {who.app} exists and may connect.")


def _writable(seen: Opened) -> Iterator[Finding]:
    server = seen.settings
    if server.replica or server.read_only:
        what = "This is a replica" if server.replica else "Sessions of the app begin read only"
        fix = "See why (size limit, maintenance, default_transaction_read_only); free space, or use "
        yield Finding(
            "writable", Level.ERROR, f"{what}: MetaMCP cannot write.", fix=f"{fix}the read-write endpoint."
        )
    else:
        yield Finding("writable", Level.OK, f"PostgreSQL {server.version} takes writes.")


def _schema(seen: Opened) -> Iterator[Finding]:
    found = seen.schema
    if found.in_public:
        fix = "Nothing, if another program uses them. What a deployment before this tool left: docs/migrating.md"
        names = _listed([one.name for one in found.in_public])
        yield Finding(
            "public", Level.WARNING, f"The schema public holds tables of MetaMCP: {names}.", fix=fix
        )
    else:
        yield Finding("public", Level.OK, "Nothing of MetaMCP is in the schema public.")
    if not found.exists:
        if seen.identity.app_creates:
            said = f"The schema {found.name} is not there yet: the app's first start makes it."
            yield Finding("schema", Level.NOTE, said)
            return
        fix = f"GRANT CREATE ON DATABASE {_quoted(seen.identity.database)} TO {_quoted(found.app)};"
        said = f"The schema {found.name} is not there, and the app's role may not create it."
        yield Finding("schema", Level.ERROR, said, fix=fix)
        return
    applied = {one.when for one in seen.migrations.applied}
    done = tuple(one for one in seen.deployed.migrations or () if one.when in applied)
    missing = sorted(deployed.objects_of(done) - {one.name for one in found.objects})
    if missing:
        fix = "Restore the schema from a backup (db restore) or a Lakebase branch (rollback --to-database)."
        said = f"The ledger names migrations whose objects are not in {found.name}: {_listed(missing)}."
        yield Finding("schema", Level.ERROR, said, fix=fix)
    else:
        yield Finding("schema", Level.OK, f"The schema {found.name} holds {len(found.objects)} objects.")


def _owners(seen: Opened) -> Iterator[Finding]:
    found = seen.schema
    if not found.exists:
        return
    if found.owned_by_app and not found.foreign:
        yield Finding("owners", Level.OK, f"All of it belongs to {found.app}.")
    else:
        others = ", ".join(one for one in found.owners if one != found.app)
        names = _listed([one.name for one in found.foreign] or [f"schema {found.name}"])
        statements = "\n".join(ownership.statements(found, found.app))
        fix = f"metamcp-deploy db adopt {_options(seen)}"
        said = f"Objects of {found.name} belong to {others}, not to the app's role {found.app}: {names}."
        yield Finding("owners", Level.ERROR, said, statements, fix)
    if found.unusable and found.app_uses:
        said = f"The app may not read and write {_listed([one.name for one in found.unusable])}."
        where = f"ALL TABLES IN SCHEMA {_quoted(found.name)} TO {_quoted(found.app)}"
        grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {where};"
        yield Finding("grants", Level.ERROR, said, fix=grant)
    elif not found.app_uses:
        grant = f"GRANT USAGE ON SCHEMA {_quoted(found.name)} TO {_quoted(found.app)};"
        yield Finding("grants", Level.ERROR, f"The app may not use the schema {found.name}.", fix=grant)
    else:
        yield Finding("grants", Level.OK, "The app may read and write all of its tables.")


def _ledger(seen: Opened) -> Iterator[Finding]:
    found, ledger = seen.schema, seen.migrations
    if not found.exists:
        return
    if not ledger.ledger:
        said = f"The schema {found.name} has no ledger of migrations: the migrator refuses to go on."
        fix = "Restore the table __drizzle_migrations from a backup (db restore) or a Lakebase branch."
        yield Finding(
            "ledger", Level.ERROR if found.objects else Level.NOTE, said, fix=fix if found.objects else ""
        )
    elif not ledger.readable:
        grant = f"GRANT pg_read_all_data TO {_quoted(seen.identity.role)};"
        said = f"{seen.identity.role} may not read the ledger of migrations."
        yield Finding("ledger", Level.UNKNOWN, said, fix=f"As the project's creator: {grant}")
    elif not ledger.known:
        said = f"{len(ledger.applied)} migrations are applied; the release that runs cannot be read, to compare them."
        yield Finding("ledger", Level.NOTE, said)
    else:
        yield _compared(seen)


def _compared(seen: Opened) -> Finding:
    ledger = seen.migrations
    if ledger.skipped:
        said = f"Migrations would be skipped, as later ones are applied: {_listed(ledger.skipped)}."
        fix = "Deploy the release that the database was migrated by, or go back to its data: rollback --to-database"
        return Finding("ledger", Level.ERROR, said, fix=fix)
    if ledger.unknown:
        said = f"The database is ahead: the release does not know {len(ledger.unknown)} of the applied migrations."
        evidence = ", ".join(str(one.when) for one in ledger.unknown)
        return Finding(
            "ledger", Level.WARNING, said, evidence, "Deploy the newer release again if something is missing."
        )
    if ledger.pending:
        said = f"Not applied yet: {_listed(ledger.pending)}. The next start of the app does."
        return Finding("ledger", Level.WARNING, said, fix=f"metamcp-deploy start {_options(seen)}")
    altered = f", {len(ledger.altered)} of them from other SQL than the release's" if ledger.altered else ""
    said = f"All {len(ledger.applied)} migrations of the release are applied{altered}."
    return Finding("ledger", Level.NOTE if altered else Level.OK, said)


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _quoted(name: str) -> str:
    return ownership.quoted(name)
