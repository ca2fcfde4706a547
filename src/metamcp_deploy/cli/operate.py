"""Commands for an app that runs; with `--app NAME -p PROFILE` they need no configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from metamcp_deploy.cli.options import AppOption, Run, common

if TYPE_CHECKING:
    from metamcp_deploy.health import Report


@common
def health(
    run: Run,
    app: AppOption = None,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for a healthy answer.")] = 0,
) -> None:
    """Ask the app how it is; exit code 0 only when it is healthy."""
    from metamcp_deploy.deployments import access
    from metamcp_deploy.knowledge.place import Place

    run.app = app
    with run.console.following():
        report = access.healthy(run.project, wait)
    failure = report.failure(Place.of(run.project))
    document = report.as_dict() | ({"error": run.shown(failure)} if failure else {})
    if failure and run.output != "json":
        raise failure
    run.console.data(document, _shown(report))
    if failure:
        raise typer.Exit(1)


@common
def token(run: Run, app: AppOption = None) -> None:
    """Print an OAuth token that opens the app, for `curl -H "Authorization: Bearer $(...)"`."""
    from metamcp_deploy.deployments import access

    run.app = app
    value = access.token(run.project)
    run.console.data({"token": value}, value)


def _shown(report: Report) -> str:
    lines = [f"{report.status.value}  {report.url}"]
    lines += [f"  {c.http} GET {c.path}  {1000 * c.seconds:.0f} ms" for c in report.checks]
    return "\n".join(lines)
