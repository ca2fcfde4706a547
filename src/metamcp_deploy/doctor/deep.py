"""`health --deep`: what a user of the app would meet behind the first answer, each with its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from metamcp_deploy import health
from metamcp_deploy.doctor import handshake
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.errors import DeployError
from metamcp_deploy.status.asking import Asked

_SECONDS = 10.0  # for each: the first list of tools starts MCP servers
_MOST = 16  # endpoints
_PAGE = "/login"
_STEPS = 4  # redirects of a page, to its language and on
_SOON_SECONDS = 120.0  # of a credential's end: it is renewed well before
_FULL = 0.8


class State(IntEnum):
    """How a check ended; the numbers are those of monitoring systems."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# Worst first, for what all of them together are.
RANK = (State.CRITICAL, State.WARNING, State.UNKNOWN, State.OK)


@dataclass(frozen=True)
class Line:
    """One check.

    Attributes:
        name: of the check.
        state: how it ended.
        said: one line for people.
        seconds: that it took.
        values: what was counted, by name.
    """

    name: str
    state: State
    said: str
    seconds: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "name": self.name,
            "state": self.state.name.lower(),
            "summary": self.said,
            "seconds": self.seconds,
            "values": dict(self.values),
        }


Found = tuple[State, str, Mapping[str, float]]


def look(subject: Subject) -> list[Line]:
    """All checks of an app that answers, side by side."""
    asked: list[tuple[str, Asked[Found]]] = [
        (name, Asked(name, lambda check=check: check(subject), _SECONDS))  # type: ignore[misc]
        for name, check in _CHECKS.items()
    ]
    try:
        names = handshake.names(subject)[:_MOST]
    except requests.exceptions.RequestException:
        names = []  # the health's own check of that address says why
    shakes = [
        (f"endpoint {name}", Asked(name, lambda name=name: _endpoint(subject, name), _SECONDS))  # type: ignore[misc]
        for name in names
    ]
    return [_line(name, question) for name, question in (*asked, *shakes)]


def _line(name: str, asked: Asked[Found]) -> Line:
    try:
        state, said, values = asked.result()
    except DeployError as e:
        return Line(name, State.UNKNOWN, e.message, asked.seconds)
    except requests.exceptions.RequestException as e:
        return Line(name, State.CRITICAL, f"no answer: {type(e).__name__}", asked.seconds)
    return Line(name, state, said, asked.seconds, values)


def of_report(report: health.Report) -> list[Line]:
    """The checks of an ordinary look at the health."""
    return [
        Line(
            check.name,
            state_of(check.status),
            f"{check.http or 'no answer'} GET {check.path} {check.detail}".rstrip()
            if check.path
            else check.detail,
            check.seconds,
        )
        for check in report.checks
    ]


def state_of(status: health.Status) -> State:
    """A health as monitoring systems grade it: what says nothing about the app is unknown."""
    match status:
        case health.Status.HEALTHY:
            return State.OK
        case health.Status.STARTING:
            return State.WARNING
        case health.Status.NOT_AUTHENTICATED | health.Status.WRONG_PATH:
            return State.UNKNOWN
        case _:
            return State.CRITICAL


def _page(subject: Subject) -> Found:
    """A page that Next renders, also through the redirect to a language."""
    http, url = handshake.session(subject), f"{subject.app().url}{_PAGE}"
    for _ in range(_STEPS):
        answer = http.get(url, timeout=handshake.SECONDS * subject.stretch, allow_redirects=False)
        if not answer.is_redirect:
            break
        before, url = url, urljoin(url, answer.headers["Location"])
        if urlsplit(url).netloc != urlsplit(before).netloc:
            return State.CRITICAL, f"GET {_PAGE} leads to {urlsplit(url).netloc}", {}
    path = urlsplit(url).path
    html = "html" in answer.headers.get("Content-Type", "")
    said = f"{answer.status_code} GET {path}, {len(answer.content)} bytes" + ("" if html else ", and no page")
    state = State.OK if answer.status_code == 200 and html else State.CRITICAL
    return state, said, {"bytes": len(answer.content)}


def _migrations(subject: Subject) -> Found:
    subject.connection()  # its failure is the reason
    found = subject.migrations()
    if found is None or not found.readable:
        return State.UNKNOWN, "this login may not read the ledger", {}
    values = {"applied": len(found.applied), "pending": len(found.pending), "unknown": len(found.unknown)}
    if not found.known:
        return State.OK, f"{values['applied']} applied; those of the release are not known", values
    said = f"{values['applied']} applied, {values['pending']} pending, {values['unknown']} unknown"
    if found.skipped:
        return (
            State.CRITICAL,
            f"{said}, {len(found.skipped)} left out: {', '.join(found.skipped[:3])}",
            values,
        )
    well = not (found.pending or found.unknown)
    return (State.OK if well else State.WARNING), said, values


def _credential(subject: Subject) -> Found:
    if (document := subject.inside()) is None:
        return State.UNKNOWN, "the launcher does not tell it this login", {}
    one = document.credential
    if one.expires_in_seconds is None:
        return State.OK, "a password that does not end", {}
    values = {
        "expires_in_seconds": one.expires_in_seconds,
        "renewals": one.renewals,
        "failures": one.failures,
    }
    if one.expires_in_seconds <= 0:
        return State.CRITICAL, "it has ended", values
    said = f"ends in {one.expires_in_seconds / 60:.0f} min, renewed {one.renewals} times"
    if one.last_error:
        return State.WARNING, f"{said}; the last renewal failed: {one.last_error.message}", values
    return (State.WARNING if one.expires_in_seconds < _SOON_SECONDS else State.OK), said, values


def _pool(subject: Subject) -> Found:
    document = subject.inside()
    pool = document.database_pool if document else None
    if pool:
        values = {"total": pool.total, "idle": pool.idle, "waiting": pool.waiting}
        said = (
            f"{pool.total} of {pool.most or '?'} connections, {pool.idle} idle, {pool.waiting} requests wait"
        )
        return (State.WARNING if pool.waiting and not pool.idle else State.OK), said, values
    subject.connection()
    seen = subject.activity()
    if seen is None:
        return State.UNKNOWN, "not known", {}
    share = seen.role_connections / max(1, seen.most)
    said = f"the app has {seen.role_connections} of {seen.most} connections"
    state = State.CRITICAL if share >= 1 else State.WARNING if share >= _FULL else State.OK
    return state, said, {"total": seen.role_connections, "most": seen.most}


def _endpoint(subject: Subject, name: str) -> Found:
    found = handshake.shake(subject, name, tools=True)
    if found.late:
        return State.CRITICAL, f"no answer within {handshake.SECONDS:g} s", {}
    if found.http is None:
        return State.CRITICAL, "no answer", {}
    if found.http in (401, 403):
        return State.OK, f"{found.http}: it asks for a key", {}
    if found.http >= 400:
        return State.CRITICAL, f"{found.http} {found.body[:100]}".rstrip(), {}
    if found.tools is None:
        return State.WARNING, "shakes hands, and lists no tools", {}
    return State.OK, f"{found.tools} tools", {"tools": found.tools}


_CHECKS: dict[str, Callable[[Subject], Found]] = {
    "page": _page,
    "migrations": _migrations,
    "credential": _credential,
    "pool": _pool,
}
