"""`preflight`: whether a deployment has what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from metamcp_deploy.cli.options import AppOption, Run, common

if TYPE_CHECKING:
    from metamcp_deploy.preflight import Report

_MARKS = {"had": "✓", "missing": "✗", "unknown": "?"}


@common
def preflight(run: Run, app: AppOption = None) -> None:
    """Look, without changing anything, whether this login may deploy here, and whom to ask for what is missing."""
    from metamcp_deploy import preflight as stage

    run.app = app
    with run.console.following():
        report = stage.look(run.project)
    if run.output == "json":
        run.console.data(report.as_dict())
    else:
        rows = [(_MARKS[c.state], c.step, c.needs, c.detail) for c in report.checks]
        run.console.table(("", "step", "needs", "here"), rows)
        run.console.raw(_rest(report))
    if report.missing:
        raise typer.Exit(1)


def _rest(report: Report) -> str:
    """What to ask whom, each once, and the counts."""
    asked = {check.ask: check.whom for check in report.missing if check.ask}
    texts = [
        f"To {whom}:\n" + "\n".join(f"  {line}" for line in ask.splitlines()) for ask, whom in asked.items()
    ]
    unknown = f"; {len(report.unknown)} unknown, as marked" if report.unknown else ""
    counts = f"{len(report.missing)} missing" if report.missing else "Nothing is missing"
    return "\n\n".join(["", *texts, f"{counts}{unknown}."])
