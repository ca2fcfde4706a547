"""`local faults add|list|clear`: failures of the embedded workspace, on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli.local import project_of
from metamcp_deploy.cli.options import Run, common
from metamcp_deploy.cli.views.help import App
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.local import Running

app = App(
    name="faults",
    help="Let the workspace fail on purpose: see what your app, your pipeline and this tool make of it.",
    no_args_is_help=True,
)


def _names(incomplete: str) -> list[tuple[str, str]]:
    from metamcp_deploy.local.faults.presets import MEANINGS

    return [(k, v) for k, v in MEANINGS.items() if k.startswith(incomplete)]


@app.command()
@common
def add(
    run: Run,
    what: Annotated[
        str,
        typer.Argument(
            help="A name that `local faults list` shows, or: a status as 503, reset, stall, truncated, lost, "
            "unmasked, unsized.",
            autocompletion=_names,
        ),
    ],
    route: Annotated[
        str | None, typer.Argument(help="Method and path, `*` for anything: 'POST /api/2.0/apps'; 'LOGIN *'.")
    ] = None,
    calls: Annotated[
        str | None, typer.Option("--calls", help="Which of them: 2, 2-4, or 2- (all: 1-).")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Only those of: operator, app.")] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Length of a stall; Retry-After of a status.")
    ] = None,
) -> None:
    """Add a failure; it lasts until it is cleared, or `local down`.

    For example: `local faults add database-asleep`, or `local faults add lost 'POST /api/2.0/apps' --calls 1`.
    """
    from metamcp_deploy.local import faults
    from metamcp_deploy.local.faults import presets

    given = {"route": route, "calls": calls, "by": by, "seconds": seconds}
    fault = presets.chosen(what, {k: v for k, v in given.items() if v is not None})
    name = faults.add(_running(run), fault, what if what in presets.PRESETS else None)
    run.console.data({"name": name}, f"{name}: {presets.said(fault)}")


@app.command("list")
@common
def list_(run: Run) -> None:
    """Show what is active and how often it struck, and the failures that have a name."""
    from metamcp_deploy.local import faults
    from metamcp_deploy.local.faults import presets

    active = faults.active(_running(run))
    run.console.data({"active": active, "presets": presets.MEANINGS}, _shown(active, presets.MEANINGS))


@app.command()
@common
def clear(
    run: Run, name: Annotated[str | None, typer.Argument(help="The one to end; all without.")] = None
) -> None:
    """End a failure, or all."""
    from metamcp_deploy.local import faults

    cleared = faults.clear(_running(run), name)
    run.console.data({"cleared": cleared}, f"Cleared {cleared}.")


def _running(run: Run) -> Running:
    from metamcp_deploy import local

    found = local.running(project_of(run))
    if found is None:
        raise DeployError(
            Code.LOCAL_DOWN,
            f"No embedded workspace runs in {run.folder}.",
            hint="metamcp-deploy local up",
        )
    return found


def _shown(active: list[dict[str, Any]], meanings: dict[str, str]) -> str:
    lines = [f"active  {a['name']}  {a['what']}  {a['route']}  struck {a['struck']} times" for a in active]
    width = max(map(len, meanings))
    return "\n".join([*(lines or ["none active"]), "", *(f"{k:{width}}  {v}" for k, v in meanings.items())])
