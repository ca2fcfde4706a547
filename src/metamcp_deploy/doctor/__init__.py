"""`doctor`: names what is wrong with a deployment, the cause first, with evidence and a fix to paste. Only reads.

All checks run side by side, each as soon as what it depends on is known to be well. What follows from an error is left
out: a finding says which checks explain it (`Finding.explained_by`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

from metamcp_deploy.config.project import Project
from metamcp_deploy.doctor import running
from metamcp_deploy.doctor.check import Check
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.report import Report
from metamcp_deploy.doctor.running import Outcome
from metamcp_deploy.doctor.subject import Subject
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import session


def look(
    load: Callable[[], Project],
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    offline: bool = False,
    before: bool = False,
    stretch: float = 1.0,
) -> Report:
    """Looks once at everything; arguments and errors as of `examined`."""
    with examined(load, only=only, skip=skip, offline=offline, before=before, stretch=stretch) as (report, _):
        return report


@contextmanager
def examined(
    load: Callable[[], Project],
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    offline: bool = False,
    before: bool = False,
    stretch: float = 1.0,
) -> Iterator[tuple[Report, Subject]]:
    """Looks once at everything, and gives what is known of the target beside the report.

    Args:
        load: gives the project with the target's settings; what it raises is a finding.
        only: ids of checks; what these need is done, too.
        skip: ids of checks that are left out.
        offline: only what needs no network.
        before: a configuration that nothing was deployed with yet: what a deployment needs, and nothing of an app.
        stretch: so many times the usual deadlines, for machines that are busy.

    Raises:
        DeployError: USAGE for an id that is no check's.
    """
    from metamcp_deploy.doctor import checks

    known = checks.BEFORE if before else checks.CHECKS
    _are_checks(known, (*only, *skip))
    wanted = set(only) or {check.id for check in known}
    for check in reversed(known):  # what a check needs stands before it
        if check.id in wanted:
            wanted.update(check.needs)
    chosen = [c for c in known if c.id in wanted and c.id not in skip and not (offline and c.remote)]
    began = time.monotonic()
    with session.shared(), closing(Subject(load, stretch)) as subject:
        outcomes = running.run(chosen, subject, stretch=stretch)
        seconds = round(time.monotonic() - began, 3)
        yield Report(tuple(_explained(outcomes)), subject.place, seconds), subject


def _explained(outcomes: Sequence[Outcome]) -> Iterable[Outcome]:
    """The outcomes without what follows from others, and each failure once: where it was found first.

    What a log tells of, and the checks that would see it do not see any more, is a note.
    """
    broken = {outcome.check.id for outcome in outcomes if outcome.broken}
    well = {outcome.check.id for outcome in outcomes if not outcome.skipped and not outcome.findings}
    seen: set[str] = set()
    for outcome in outcomes:
        kept: list[Finding] = []
        causes: set[str] = set()
        for finding in outcome.findings:
            explaining = finding.explained_by & (broken - {outcome.check.id})
            if finding.id in seen or explaining:
                causes |= explaining
                continue
            over = finding.over_with and finding.over_with <= well
            kept.append(finding.as_level(Level.NOTE) if over else finding)
        seen |= {finding.id for finding in kept}
        left_out = bool(outcome.findings) and not kept
        why = f"follows from what is wrong with: {', '.join(sorted(causes))}" if causes else "named above"
        if not kept:
            broken.discard(outcome.check.id)
        yield replace(outcome, findings=tuple(kept), skipped=why if left_out else outcome.skipped)


def _are_checks(checks: Sequence[Check], named: Iterable[str]) -> None:
    known = [check.id for check in checks]
    for name in named:
        if name not in known:
            raise DeployError(Code.USAGE, f"{name} is no check.", hint=f"The checks are: {', '.join(known)}.")
