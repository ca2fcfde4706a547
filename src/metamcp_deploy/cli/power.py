"""`status`, `open`, `start`, `stop` and `restart` of a deployed app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli.options import AppOption, Run, Wait, common
from metamcp_deploy.stages.bundle_deploy import ForceLock

if TYPE_CHECKING:
    from metamcp_deploy.cli.views.status import Row
    from metamcp_deploy.status import Status
    from metamcp_deploy.workspace.apps import App

Every = Annotated[float, typer.Option("--every", min=1, metavar="SECONDS", help="With --watch: how often.")]


@common
def status(
    run: Run,
    app: AppOption = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every app of the workspace that this tool deployed.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and mark what changes.")] = False,
    every: Every = 5,
) -> None:
    """Show in one look how the app is; exit code 0 only when it is healthy."""
    from metamcp_deploy.cli import watching

    run.app = app
    if all_ and app:
        raise typer.BadParameter("--all is about every app: leave --app out; -p names the workspace.")
    look = _look_at_all if all_ else _look
    if watch:
        watching.watch(run, lambda: look(run)[1:], every)
        return
    with run.console.following():
        healthy, document, rows = look(run)
    if run.output == "json":
        run.console.data(document)
    else:
        run.console.rows(rows)
    if not healthy:
        raise typer.Exit(1)


def _look(run: Run) -> tuple[bool, dict[str, Any], list[Row]]:
    """Whether the app is healthy, and the look at it as a document and as rows."""
    from metamcp_deploy import status as stage
    from metamcp_deploy.cli.views import status as views
    from metamcp_deploy.knowledge.place import Place
    from metamcp_deploy.target import locate

    found: Status = stage.look(locate.site(run.project))
    failure = found.health.failure(Place.of(run.project))
    document = found.as_dict() | ({"error": run.shown(failure)} if failure else {})
    hint = run.console.completed(failure.hint) if failure else ""
    return found.healthy, document, views.rows(found, failure, hint)


def _look_at_all(run: Run) -> tuple[bool, dict[str, Any], list[Row]]:
    """As `_look`, of every app; healthy when all are."""
    from metamcp_deploy.cli.views import status as views
    from metamcp_deploy.status import SCHEMA_VERSION, apps
    from metamcp_deploy.target import session

    workspace = session.connect(run.project)
    found = apps.look(workspace)
    document = {
        "schema_version": SCHEMA_VERSION,
        "host": workspace.host,
        "apps": [one.as_dict() for one in found],
    }
    none = [("", f"No app in {workspace.host} was deployed by metamcp-deploy.", "dim")]
    return all(one.healthy for one in found), document, views.listed(found) if found else none


@common
def start(run: Run, app: AppOption = None, force_lock: ForceLock = False, wait: Wait = 120) -> None:
    """Start the app, also one that crashed, with its last deployment; exit code 0 only when it is healthy."""
    from metamcp_deploy.deployments import access, start_stop
    from metamcp_deploy.knowledge.place import Place
    from metamcp_deploy.target import locate, session

    run.app = app
    with run.console.following(), session.shared():
        site = locate.site(run.project)
        started = start_stop.start(site, force_lock)
        report = access.check(site.workspace, started, wait)
    failure = report.failure(Place.of(run.project))
    if failure and run.output != "json":
        raise failure
    more = {"health": report.as_dict()} | ({"error": run.shown(failure)} if failure else {})
    run.console.data(_document(started) | more, f"{started.name}  {report.status.value}  {started.url}")
    if failure:
        raise typer.Exit(1)


@common
def stop(run: Run, app: AppOption = None, force_lock: ForceLock = False) -> None:
    """Stop the app's compute; data, releases and settings stay."""
    from metamcp_deploy.deployments import start_stop
    from metamcp_deploy.target import locate, session

    run.app = app
    with run.console.following(), session.shared():
        stopped = start_stop.stop(locate.site(run.project), force_lock)
    run.console.data(_document(stopped), f"{stopped.name}  {stopped.compute}  {stopped.url}")


def _document(app: App) -> dict[str, Any]:
    return {"app": app.name, "url": app.url, "compute": app.compute, "state": app.state}
