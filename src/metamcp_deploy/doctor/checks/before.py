"""A configuration against its workspace, before anything is deployed with it: `doctor -f metamcp.yaml`."""

from __future__ import annotations

from collections.abc import Iterator

from metamcp_deploy import preflight as needs
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.knowledge.entry import Step
from metamcp_deploy.preflight.needs import Check as Need
from metamcp_deploy.preflight.needs import all_needs


def preflight(subject: Subject) -> Iterator[Finding]:
    """What a deployment lacks: an error each; what only an attempt can show is a note."""
    report = needs.look(subject.project())
    for need in report.missing:
        yield _finding(subject, need, Level.ERROR)
    for need in report.unknown:
        yield _finding(subject, need, Level.NOTE)


def _finding(subject: Subject, need: Need, level: Level) -> Finding:
    entry = all_needs()[need.id]
    return Finding(
        id=entry.id,
        level=level,
        summary=f"{entry.title}: {need.detail}",
        evidence=(f"needed to {need.step}: {need.needs}",),
        cause=entry.cause,
        fix=(Step(do=need.ask, ask=need.whom or None),) if need.ask else (),
        doc=f"docs/diagnoses.md#{entry.id}",
    )
