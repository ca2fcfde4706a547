"""How every `--plan` is shown, and what `--detailed-exitcode` answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metamcp_deploy.cli.options import Run
    from metamcp_deploy.plan import Plan
    from metamcp_deploy.stages.full_plan import FullPlan

DIFFERS = 4

DetailedExitcode = Annotated[
    bool, typer.Option("--detailed-exitcode", help="With a plan: exit code 4 when something would be done.")
]


def shown(run: Run, plan: Plan | FullPlan, detailed_exitcode: bool = False) -> None:
    """Shows a plan; with `--detailed-exitcode` ends with 4 when it differs."""
    run.console.data(plan.as_dict(), "\n".join(plan.lines()))
    if detailed_exitcode and plan.differs:
        raise typer.Exit(DIFFERS)
