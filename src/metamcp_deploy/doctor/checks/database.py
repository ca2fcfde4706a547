"""The app's database: what the workspace says of it, then what it says itself to a login of the caller."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from metamcp_deploy import knowledge
from metamcp_deploy.database.facts import Owned
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.errors import DeployError

# What is about this login or this machine, and no failure of the app's.
_OF_THE_CALLER = frozenset(
    {
        *("login-refused", "login-without-role", "login-not-allowed", "login-timeout", "login-tls"),
        *("login-untrusted", "permission-denied"),
    }
)
_PASSING = frozenset({"database-asleep", "credential-too-fresh"})
_CLIENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WAITED_SECONDS = 5.0
_NAMED = 5  # objects in one line


def database(subject: Subject) -> Iterator[Finding]:
    """Whether the database that is attached to the app exists and can be connected to."""
    for trouble in subject.database().hindrances(subject.workspace()):
        yield _known(subject, trouble.where, trouble.id, trouble.said, trouble.evidence)


def connection(subject: Subject) -> Iterator[Finding]:
    """Whether it takes a login. What only this login lacks is a note: the app may be well."""
    try:
        subject.connection()
    except DeployError as e:
        # An app without a database in its resources has one outside, or has lost its own.
        lost = frozenset() if subject.database().identity else frozenset({"resources"})
        finding = Finding.of_error(e, subject.place, lost)
        mild = finding.id in _OF_THE_CALLER | _PASSING
        yield finding.as_level(Level.NOTE) if mild else finding


def role(subject: Subject) -> Iterator[Finding]:
    """Whether the app has a role, which may log in and connect."""
    if (found := subject.identity()) is None:
        return
    lacking = (
        (
            not found.app_exists,
            "role-missing",
            f"The database has no role {found.app}, which the app logs in as",
        ),
        (
            found.app_exists and not found.app_logs_in,
            "role-missing",
            f"The app's role {found.app} may not log in (NOLOGIN)",
        ),
        (
            found.app_exists and not found.app_connects,
            "database-connect-denied",
            f"The app's role {found.app} may not connect to {found.database}",
        ),
    )
    for is_so, id_, said in lacking:
        if is_so:
            rights = f"logs in {found.app_logs_in}, CONNECT {found.app_connects}, CREATE {found.app_creates}"
            evidence = f"pg_roles: {found.app}: " + (rights if found.app_exists else "not there")
            yield _known(subject, "launcher", id_, said, evidence, name=found.database, role=found.app)
            return


def schema(subject: Subject) -> Iterator[Finding]:
    """Whether MetaMCP's schema is the app's, and so is all that is in it."""
    found, who = subject.schema(), subject.identity()
    if found is None or who is None:
        return
    if not found.exists:
        if not who.app_creates:
            said = f"There is no schema {found.name}, and the app may not create it in {who.database}"
            yield _known(
                subject,
                "launcher",
                "create-schema-denied",
                said,
                f"CREATE on {who.database}: no",
                name=who.database,
                role=who.app,
            )
        elif subject.tables() and subject.health().checks[0].ok:  # the launcher has been past its migrations
            said = f"The schema {found.name} does not exist in {who.database}, and the app runs"
            gone = _known(subject, "doctor", "schema-gone", said, f"pg_namespace: no {found.name}")
            yield replace(gone, explained_by=frozenset({"resources"}))  # it may be another database
        return
    former = {one.owner for one in found.foreign if _CLIENT_ID.fullmatch(one.owner)}
    if found.foreign and {one.owner for one in found.foreign} == former:
        said = f"{len(found.foreign)} objects of the schema {found.name} belong to the principal of an earlier app"
        yield _known(subject, "database", "old-principal", said, *_listed(found.foreign), name=min(former))
    elif found.app_uses and found.foreign and set(found.unusable) <= set(found.foreign):
        said = (
            f"{len(found.foreign)} objects of the schema {found.name} belong to another role than the app's"
        )
        yield _known(subject, "launcher", "schema-foreign", said, *_listed(found.foreign))
    elif found.unusable or not found.app_uses:
        said = f"The app's role may not use {len(found.unusable) or 'any'} tables of its schema {found.name}"
        usage = f"USAGE on {found.name}: {'yes' if found.app_uses else 'no'}"
        names = {"role": found.app, "schema": found.name}
        yield _known(subject, "launcher", "table-denied", said, usage, *_listed(found.unusable), **names)
    elif found.foreign:
        said = (
            f"{len(found.foreign)} objects of the schema {found.name} belong to another role than the app's"
        )
        yield _known(subject, "launcher", "schema-foreign", said, *_listed(found.foreign))


def migrations(subject: Subject) -> Iterator[Finding]:
    """Whether the ledger of applied migrations fits the release that runs."""
    found, there = subject.migrations(), subject.schema()
    if found is None or there is None or not found.known:
        return
    if not found.ledger and there.objects:
        said = f"The schema {there.name} holds {len(there.objects)} objects and no ledger of migrations"
        yield _known(subject, "launcher", "schema-unknown", said, *_listed(there.objects))
    elif found.skipped:
        said = f"{len(found.skipped)} migrations of the release are older than the last applied one, and not applied"
        yield _known(subject, "launcher", "migration-skipped", said, ", ".join(found.skipped[:_NAMED]))
    elif between := [one for one in found.unknown if one.when < _newest(subject)]:
        said = f"The ledger holds {len(between)} migrations that the release does not know, older than its newest"
        dates = ", ".join(
            f"{datetime.fromtimestamp(one.when / 1000, UTC):%Y-%m-%d}" for one in between[:_NAMED]
        )
        evidence = (f"unknown: {dates}", f"pending: {', '.join(found.pending[:_NAMED]) or 'none'}")
        yield _known(subject, "launcher", "ledger-diverged", said, *evidence)
    elif found.readable and (missing := sorted(subject.tables() - {one.name for one in there.objects})):
        said = f"{len(missing)} tables or types that migrations made are not in the schema {there.name}"
        yield _known(
            subject, "launcher", "migration-missing", said, f"missing: {', '.join(missing[:_NAMED])}"
        )


def _newest(subject: Subject) -> int:
    """The date of the release's newest migration."""
    return max((one.when for one in subject.deployed().migrations or ()), default=0)


def activity(subject: Subject) -> Iterator[Finding]:
    """Whether the database takes writes and further connections, and nobody waits for a lock."""
    settings, found = subject.database_settings(), subject.activity()
    if settings and (settings.read_only or settings.replica):
        why = "it is a replica" if settings.replica else "default_transaction_read_only is on"
        yield _known(subject, "database", "read-only", f"The app's database takes no writes: {why}", why)
    if found is None:
        return
    most = found.most
    if found.role_connections >= most or found.server_connections >= found.server_most:
        said = f"The app has {found.role_connections} of at most {most} connections to its database"
        limits = f"limits: role {found.role_most}, database {found.database_most}, server {found.server_most}"
        counted = f"connections: role {found.role_connections}, server {found.server_connections}"
        yield _known(subject, "database", "too-many-connections", said, limits, counted)
    waiting = [one for one in found.locks if (one.waiting.state_age or 0.0) >= _WAITED_SECONDS]
    if waiting:
        first = waiting[0]
        held = first.holder
        age = f"{first.waiting.state_age or 0:.0f} s"
        who = f"{held.role} ({held.application or 'no name'})" if held else "a session that ended"
        said = f"{len(waiting)} sessions wait for a lock, the longest for {age}; process {first.pid} of {who} holds it"
        held_by = f"holder {first.pid}: {held.state}: {held.statement}" if held else ""
        yield _known(
            subject,
            "database",
            "locks-held",
            said,
            held_by,
            f"waiting {first.waiting.pid}: {first.waiting.statement}",
        )


def _listed(objects: tuple[Owned, ...]) -> tuple[str, ...]:
    shown = tuple(f"{one.kind} {one.schema}.{one.name}: owner {one.owner}" for one in objects[:_NAMED])
    more = len(objects) - len(shown)
    return (*shown, f"and {more} more") if more else shown


def _known(subject: Subject, where: str, id_: str, said: str, *evidence: str, **values: object) -> Finding:
    entry = knowledge.by_id(where, id_)
    return Finding.known(entry, subject.place, summary=said, evidence=evidence, values=values)
