"""`rollback`: an earlier deployment again."""

from __future__ import annotations

from typing import Annotated

import typer

from metamcp_deploy.cli import planning
from metamcp_deploy.cli.options import AppOption, Plan, Run, Wait, common
from metamcp_deploy.stages.app_deploy import Message
from metamcp_deploy.stages.bundle_deploy import ForceLock

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
ReleaseId = Annotated[
    str | None,
    typer.Option("--id", metavar="RELEASE", help="The release that it must have run, named by its whole id."),
]


@common
def rollback(
    run: Run,
    deployment: Which = None,
    app: AppOption = None,
    plan: Plan = False,
    detailed_exitcode: planning.DetailedExitcode = False,
    to_database: ToDatabase = False,
    keep_database: KeepDatabase = False,
    release: ReleaseId = None,
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
    wishes = preparation.Wishes(deployment, to_database, keep_database, release)
    with run.console.following(), session.shared():
        site = locate.site(run.project)
        if plan:
            planning.shown(run, preparation.look(site, wishes).plan, detailed_exitcode)
            return
        done = execution.run(site, wishes, message=message, force_lock=force_lock, wait=wait)
    target = done.rollback.target
    text = f"Deployment {done.deployment} runs release {target.release} again, as {target.deployment} did."
    run.console.data(done.as_dict(), f"{text} {done.report.url}")
