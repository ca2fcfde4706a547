"""`destroy`: what a target made goes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from metamcp_deploy.cli import planning
from metamcp_deploy.cli.options import AutoApprove, Plan, Run, common
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages.bundle_deploy import ForceLock

if TYPE_CHECKING:
    from metamcp_deploy.destroy.selection import Selection

WithDatabase = Annotated[
    bool, typer.Option("--with-database", help="Also its database, with all data in it.")
]
Purge = Annotated[
    str | None,
    typer.Option(
        "--purge",
        metavar="PROJECT",
        help="Delete this Lakebase project for good, by its id: nobody can undelete it, and its id is free at once.",
    ),
]
Named = Annotated[
    list[str] | None,
    typer.Option(
        "--named",
        metavar="NAME",
        help="Also this thing, which --plan shows as not proven or of before, by its whole name. May be repeated.",
    ),
]
WithSecrets = Annotated[bool, typer.Option("--with-secrets", help="Also its secrets.")]


@common
def destroy(
    run: Run,
    with_database: WithDatabase = False,
    with_secrets: WithSecrets = False,
    purge: Purge = None,
    named: Named = None,
    plan: Plan = False,
    detailed_exitcode: planning.DetailedExitcode = False,
    auto_approve: AutoApprove = False,
    force_lock: ForceLock = False,
) -> None:
    """Delete the app, its releases and its lock; database and secrets stay unless asked for."""
    from metamcp_deploy.destroy import deletion as stage
    from metamcp_deploy.destroy import selection
    from metamcp_deploy.target import session

    wishes = selection.Wishes(with_database, with_secrets, purge, tuple(named or ()))
    with session.shared():
        with run.console.following():
            site = session.site(run.project)
            stage.allow(site)
            found = selection.look(site, wishes)
        if plan:
            planning.shown(run, found.plan, detailed_exitcode)
            return
        if found.plan.differs and not auto_approve:
            _approved(run, found)
        with run.console.following():
            gone = stage.run(site, wishes, force_lock)
    run.console.data(gone.plan.as_dict(), "\n".join(gone.plan.lines()[:-2]))


def _approved(run: Run, found: Selection) -> None:
    """Shows what goes, and has the app's name typed.

    Raises:
        DeployError: USAGE, without a terminal, or for another name.
    """
    name, target = run.project.settings.app.name, run.project.settings.target
    again = f"metamcp-deploy destroy -t {target} --auto-approve"
    if not sys.stdin.isatty():
        raise DeployError(
            Code.USAGE,
            f"Deleting the app {name} without a terminal needs your word.",
            hint=f"{again} (the same with --plan shows what goes)",
        )
    run.console.say("\n".join(found.plan.lines()))
    typed = typer.prompt(f"Type the app's name ({name}) to delete all that", err=True)
    if typed.strip() != name:
        raise DeployError(
            Code.USAGE,
            f"That is not {name}: nothing was deleted.",
            hint="Run it again, and type the app's name.",
        )
