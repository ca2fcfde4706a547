"""`rollback`: an earlier deployment again."""

from __future__ import annotations

from typing import Annotated

import typer

from metamcp_deploy.cli import planning
from metamcp_deploy.cli.options import AppOption, ForceLock, Plan, Run, common

Which = Annotated[
    str | None,
    typer.Argument(
        metavar="[DEPLOYMENT]",
        help="Id, or its first digits; by default the newest good one before what runs.",
    ),
]
ToDatabase = Annotated[
    bool,
    typer.Option(
        "--to-database", help="Also the data: a Lakebase branch from before later deployments' migrations."
    ),
]
KeepDatabase = Annotated[
    bool, typer.Option("--keep-database", help="The older release runs on the newer schema.")
]
Message = Annotated[str | None, typer.Option("-m", "--message", help="Kept in the deployment's record.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for a healthy answer.")]


@common
def rollback(
    run: Run,
    deployment: Which = None,
    app: AppOption = None,
    plan: Plan = False,
    detailed_exitcode: planning.DetailedExitcode = False,
    to_database: ToDatabase = False,
    keep_database: KeepDatabase = False,
    message: Message = None,
    force_lock: ForceLock = False,
    wait: Wait = 120,
) -> None:
    """Deploy an earlier deployment again, with its settings, and wait until it serves."""
    from metamcp_deploy.rollback import execution, preparation
    from metamcp_deploy.target import locate, session

    if to_database and keep_database:
        raise typer.BadParameter("--to-database and --keep-database exclude each other.")
    run.app = app
    wishes = preparation.Wishes(deployment, to_database, keep_database)
    with run.console.following(), session.shared():
        site = locate.site(run.project)
        if plan:
            planning.shown(run, preparation.look(site, wishes).plan, detailed_exitcode)
            return
        done = execution.run(site, wishes, message=message, force_lock=force_lock, wait=wait)
    target = done.rollback.target
    text = f"Deployment {done.deployment} runs release {target.release} again, as {target.deployment} did."
    run.console.data(done.as_dict(), f"{text} {done.report.url}")
