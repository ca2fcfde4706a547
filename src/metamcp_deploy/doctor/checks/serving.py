"""The app as its users meet it: what the launcher answers, and what stands behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from metamcp_deploy import health, knowledge
from metamcp_deploy.doctor.checks import log
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.errors import DeployError
from metamcp_deploy.health import Check, Status

_WORKSPACE_SIDE = frozenset({"compute", "deployment", "access"})
# By the step of the launcher that fails: the checks whose findings are the cause of it.
_BY_STEP = {
    "release": frozenset({"deployment"}),
    "unpack": frozenset({"deployment"}),
    "environment": frozenset({"deployment", "resources", "secrets"}),
    "app-url": frozenset({"deployment", "resources"}),
    "token": frozenset({"deployment", "resources"}),
    "credential": frozenset({"resources", "database"}),
}
_OF_DATABASE = frozenset({"resources", "database", "connection", "role", "schema", "migrations", "activity"})


def launcher(subject: Subject) -> Iterator[Finding]:
    """Whether the launcher answers, and has brought MetaMCP up."""
    # At the same time: where the backend hangs, the launcher answers, and both together would take too long.
    asking = threading.Thread(target=_inside, args=(subject,), name="doctor-inside", daemon=True)
    asking.start()
    report = subject.health()
    alive = report.checks[0]
    if alive.ok:
        return
    if alive.status is Status.UNREACHABLE and _inside(subject):
        yield Finding.known(
            knowledge.by_id("doctor", "backend-silent"),
            subject.place,
            evidence=(
                f"GET {report.url}{alive.path}: {alive.detail}",
                "GET /.metamcp-deploy/status: the launcher answers",
            ),
            explained_by=_WORKSPACE_SIDE,
        )
        return
    yield from _named(subject, report, alive)


def _inside(subject: Subject) -> bool:
    """Whether the launcher itself answers."""
    try:
        return subject.inside() is not None
    except DeployError:
        return False


def front_door(subject: Subject) -> Iterator[Finding]:
    """Whether MetaMCP answers with its database, and its front end with a file."""
    report = subject.health()
    for check in report.checks[1:]:
        if not check.ok:
            yield from _named(subject, report, check)


def _named(subject: Subject, report: health.Report, check: Check) -> Iterator[Finding]:
    """The cause that the launcher's code or the log names, else what the answer alone says."""
    evidence = f"GET {report.url}{check.path}: {check.http or 'no answer'} {check.detail}".rstrip()
    explained = _explaining(check)
    if check.code:
        cause = knowledge.recognise("launcher", code=check.code, log=f"{check.code} {check.detail}")
        if cause:
            if passing := log.passing(subject, cause.id):
                yield Finding.known(passing, subject.place, evidence=(evidence,), level=Level.NOTE)
                return
            yield Finding.known(
                cause,
                subject.place,
                evidence=(evidence, *log.last_failure(subject)),
                explained_by=explained,
            )
            return
    if check.status in (Status.DATABASE_DOWN, Status.NOT_LISTENING):
        causes = [
            finding for finding in log.known(subject, explained_by=explained) if finding.level.rank == 0
        ]
        if causes:
            yield from causes
            return
    yield Finding.known(
        knowledge.by_id("health", check.status.value.replace("_", "-")),
        subject.place,
        evidence=(evidence,),
        explained_by=explained,
    )


def _explaining(check: Check) -> frozenset[str]:
    match check.status:
        case Status.DATABASE_DOWN:
            return _WORKSPACE_SIDE | _OF_DATABASE
        case Status.STARTING | Status.FAILED:
            step = check.detail.partition("at step ")[2].partition(" ")[0].rstrip(":")
            return _WORKSPACE_SIDE | _BY_STEP.get(step, _OF_DATABASE)
        case Status.FRONT_END_SILENT:
            return frozenset()
        case _:
            return _WORKSPACE_SIDE | _OF_DATABASE | {"secrets"}
