"""`doctor`: what is wrong with a deployment, and what ends it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from metamcp_deploy.cli.options import AppOption, Run, common

if TYPE_CHECKING:
    from metamcp_deploy.doctor.finding import Finding
    from metamcp_deploy.doctor.report import Report

_MARKS = {"error": "✗", "warning": "!", "note": "·"}
_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "dim"}


class FailOn(StrEnum):
    """The mildest level that counts as a failure."""

    error = "error"
    warning = "warning"
    note = "note"
    never = "never"


Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="CHECK", help="Only this check and what it needs; repeatable."),
]
Skip = Annotated[
    list[str] | None, typer.Option("--skip", metavar="CHECK", help="Leave this check out; repeatable.")
]


@common
def doctor(
    run: Run,
    app: AppOption = None,
    only: Only = None,
    skip: Skip = None,
    offline: Annotated[bool, typer.Option("--offline", help="Only what needs no network.")] = False,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="The mildest level for which the exit code is 1.")
    ] = FailOn.error,
) -> None:
    """Name what is wrong, the cause first, with evidence and a fix to paste. Changes nothing."""
    from metamcp_deploy import doctor as stage

    run.app = app
    with run.console.following():
        report = stage.look(lambda: run.project, only=only or (), skip=skip or (), offline=offline)
    if run.output == "json":
        run.console.data(report.as_dict())
    else:
        _show(run, report)
    if _fails(report, fail_on):
        raise typer.Exit(1)


def _fails(report: Report, fail_on: FailOn) -> bool:
    if fail_on is FailOn.never or report.worst is None:
        return False
    return report.worst.rank <= list(FailOn).index(fail_on)


def _show(run: Run, report: Report) -> None:
    for finding in report.findings:
        mark = f"{_MARKS[finding.level]} {finding.summary}"
        run.console.headed(mark, f"[{finding.id}]", _STYLES[finding.level], list(_details(finding)))
    skipped = [outcome for outcome in report.outcomes if outcome.skipped]
    well = sum(not outcome.skipped and not outcome.findings for outcome in report.outcomes)
    reasons = dict.fromkeys(outcome.skipped for outcome in skipped)
    for why in reasons:
        titles = [outcome.check.title for outcome in skipped if outcome.skipped == why]
        run.console.headed(f"– skipped: {', '.join(titles)}: {why}", "", "dim", [])
    counts = [f"{well} checks found nothing"] + ([f"{len(skipped)} skipped"] if skipped else [])
    run.console.raw(f"{', '.join(counts)}; {report.seconds:.1f} s")


def _details(finding: Finding) -> Iterator[tuple[str, str]]:
    for line in finding.evidence:
        yield "seen", line
    if finding.cause:
        yield "cause", finding.cause
    for step in finding.fix:
        if step.do:
            yield "fix", step.do if not step.run else f"{step.do.rstrip('.:')}:"
        if step.run:
            yield "" if step.do else "fix", f"  {step.run}"
