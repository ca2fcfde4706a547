"""Known failures among the lines of the app's log since its last start."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from metamcp_deploy import knowledge
from metamcp_deploy.doctor import log_reading
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.errors import DeployError
from metamcp_deploy.events import LogLine
from metamcp_deploy.knowledge.entry import Entry

_ELSEWHERE = frozenset(
    {
        *("deployment", "resources", "secrets", "database", "connection", "role", "schema", "migrations"),
        *("activity", "launcher", "front-door"),
    }
)
RECENT_SECONDS = 900.0
_PASSING_SECONDS = 30.0  # of a start: so long a credential may be unknown, and a database wake up
_PASSING = {"password-refused": "credential-too-fresh", "database-unreachable": "database-asleep"}
# By failures in the log: the checks that would see them now.
_SEEN_BY = {
    **dict.fromkeys(("password-refused", "role-missing"), ("connection", "role", "front-door")),
    **dict.fromkeys(
        (
            *("table-denied", "migration-missing", "schema-foreign"),
            *("database-connect-denied", "create-schema-denied"),
        ),
        ("connection", "role", "schema", "migrations", "front-door"),
    ),
    **dict.fromkeys(
        ("database-busy", "database-read-only", "database-unreachable", "database-missing"),
        ("database", "connection", "role", "activity", "front-door"),
    ),
}


def log(subject: Subject) -> Iterator[Finding]:
    """What an app that is up complains about: a warning each; what came before MetaMCP was up is over."""
    lines = subject.log()
    up = [n for n, line in enumerate(lines) if log_reading.UP in line.message]
    if up:
        lines = tuple(line for line in lines[up[-1] + 1 :] if _recent(line))
    for seen in log_reading.known(lines):
        if not up and passing(subject, seen.entry.id):
            continue  # the check of the launcher says so
        finding = seen.finding(subject.place, Level.WARNING, _ELSEWHERE)
        yield replace(finding, over_with=frozenset(_SEEN_BY.get(finding.id, ())))


def known(subject: Subject, explained_by: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """The failures that the lines since the last start name, for an app that is not well: errors."""
    try:
        lines = subject.log()
    except DeployError:
        return
    for seen in log_reading.known(lines):
        yield seen.finding(subject.place, None, explained_by)


def passing(subject: Subject, id_: str) -> Entry | None:
    """What a failure of a young start may be instead: a credential that is too fresh, a database that wakes up."""
    instead = _PASSING.get(id_)
    try:
        document = subject.inside() if instead else None
    except DeployError:
        return None
    if instead is None or document is None or document.uptime_seconds > _PASSING_SECONDS:
        return None
    if instead == "database-asleep" and not any("57P03" in line for line in last_failure(subject)):
        return None
    return knowledge.by_id("database", instead)


def last_failure(subject: Subject) -> tuple[str, ...]:
    """The line in which the launcher says why its start failed; empty without one, or without a log."""
    try:
        lines: Iterable[LogLine] = subject.log()
    except DeployError:
        return ()
    failed = [line.message for line in lines if "Start failed at step" in line.message]
    return tuple(f"log: {message}" for message in failed[-1:])


def _recent(line: LogLine) -> bool:
    return line.timestamp is None or time.time() - line.timestamp < RECENT_SECONDS
