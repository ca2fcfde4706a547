"""The app, its compute and its deployment, by what the workspace says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metamcp_deploy import knowledge
from metamcp_deploy.doctor.checks import log
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.preflight.access import granting, judged, readable
from metamcp_deploy.preflight.needs import State

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App

_STARTING = frozenset({"STARTING", "UPDATING"})
_CRASHES = frozenset({"compute", "deployment", "resources", "secrets"})


def app(subject: Subject) -> Iterator[Finding]:
    """Whether the app exists, and stays. A login without any right on it does not even see it."""
    try:
        found = subject.app()
    except DeployError as e:
        if e.code is not Code.PERMISSION_DENIED:
            raise
        yield _not_open(subject, subject.project().settings.app.name, e.message)
        return
    if found.compute == "DELETING":
        yield _known(subject, "platform", "app-deleting", found, f"The app {found.name} is being deleted")


def compute(subject: Subject) -> Iterator[Finding]:
    """Whether the app has a machine."""
    found = subject.app()
    if found.compute == "STOPPED":
        yield _known(subject, "health", "stopped", found, f"The app {found.name} is stopped")
    elif found.compute in _STARTING:
        said = f"The compute of the app {found.name} is {found.compute.lower()}"
        yield _known(subject, "doctor", "compute-starting", found, said)
    elif found.compute != "ACTIVE":
        said = f"The compute of the app {found.name} is {found.compute or 'not there'}"
        yield _known(subject, "doctor", "compute-failed", found, said)


def deployment(subject: Subject) -> Iterator[Finding]:
    """Whether something is deployed, and runs."""
    found = subject.app()
    if found.pending:
        said = f"A deployment of the app {found.name} is under way: {found.pending.id} by {found.pending.creator}"
        yield _known(subject, "platform", "deployment-in-progress", found, said, level=Level.NOTE)
    if not found.deployed and not found.pending:
        said = f"Nothing was deployed to the app {found.name}, or its last deployment failed"
        yield _known(subject, "doctor", "not-deployed", found, said)
    elif found.state == "CRASHED" and found.compute == "ACTIVE":
        causes = [f for f in log.known(subject, explained_by=_CRASHES) if f.level is Level.ERROR]
        yield from causes
        if not causes:
            yield _known(
                subject, "health", "crashed", found, f"The app {found.name} crashed: {found.message}"
            )


def access(subject: Subject) -> Iterator[Finding]:
    """Whether this login may open the app."""
    found, person = subject.app(), subject.person()
    permissions = subject.workspace().permissions
    granted = readable(person, lambda: permissions.granted("apps", found.name))
    seen = judged(person, granted, "CAN_USE")
    if seen.state is State.MISSING:
        yield _not_open(subject, found.name, seen.detail)


def _not_open(subject: Subject, name: str, evidence: str) -> Finding:
    person = subject.person()
    values = {
        "me": person.name,
        "app": name,
        "host": subject.workspace().host,
        "command": granting(person, "apps", name, "CAN_USE"),
    }
    return Finding.known(
        knowledge.by_id("preflight", "need-open"),
        subject.place,
        summary=f"{person.name} may not open the app {name}",
        evidence=(evidence,),
        values=values,
    )


def _known(
    subject: Subject, where: str, id_: str, app: App, summary: str, level: Level | None = None
) -> Finding:
    state = f"compute {app.compute or 'none'}, app {app.state or 'none'}"
    evidence = (
        f"GET /api/2.0/apps/{app.name}: {state}",
        f"compute: {app.compute_message}" if app.compute_message else "",
        f"app: {app.message}" if app.message else "",
    )
    return Finding.known(
        knowledge.by_id(where, id_), subject.place, summary=summary, evidence=evidence, level=level
    )
