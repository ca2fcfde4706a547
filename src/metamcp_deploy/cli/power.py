"""`status`, `open`, `start`, `stop` and `restart` of a deployed app."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli.options import AppOption, Run, Wait, common
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages.bundle_deploy import ForceLock

if TYPE_CHECKING:
    from metamcp_deploy.cli.views.status import Row
    from metamcp_deploy.health import Report
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
    from metamcp_deploy.cli.views import watching

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
    from metamcp_deploy.target import locate, session

    run.app = app
    with run.console.following(), session.shared():
        site = locate.site(run.project)
        started = start_stop.start(site, force_lock)
        report = access.check(site.workspace, started, wait)
    _report(run, started, report)


class ServiceName(StrEnum):
    """The services of MetaMCP."""

    backend = "backend"
    frontend = "frontend"


@common
def restart(
    run: Run,
    service: Annotated[
        ServiceName | None,
        typer.Argument(
            metavar="[SERVICE]", help="backend or frontend: only this one, by the app's launcher."
        ),
    ] = None,
    app: AppOption = None,
    force_lock: ForceLock = False,
    wait: Wait = 120,
) -> None:
    """Restart the app, or one of its services; exit code 0 only when it is healthy."""
    from metamcp_deploy.deployments import access, service_restart, start_stop
    from metamcp_deploy.target import locate, session

    run.app = app
    with run.console.following(), session.shared():
        if service:
            workspace = session.connect(run.project)
            restarted = workspace.apps.get(run.project.settings.app.name)
            service_restart.restart(workspace, restarted, service.value, max(wait, 1.0))
        else:
            site = locate.site(run.project)
            workspace, restarted = site.workspace, start_stop.restart(site, force_lock)
        report = access.check(workspace, restarted, wait)
    _report(run, restarted, report)


def _report(run: Run, app: App, report: Report) -> None:
    """What came of a start."""
    from metamcp_deploy.knowledge.place import Place

    failure = report.failure(Place.of(run.project))
    if failure and run.output != "json":
        raise failure
    more = {"health": report.as_dict()} | ({"error": run.shown(failure)} if failure else {})
    run.console.data(_document(app) | more, f"{app.name}  {report.status.value}  {app.url}")
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


@common
def open_(
    run: Run,
    app: AppOption = None,
    operators: Annotated[
        bool, typer.Option("--operators", help="The launcher's page for operators, not MetaMCP's.")
    ] = False,
) -> None:
    """Open the app's page in a browser, and print its URL; without a browser only print it."""
    from metamcp_deploy.cli.views import browser
    from metamcp_deploy.target import session

    run.app = app
    with run.console.following():
        found = session.connect(run.project).apps.get(run.project.settings.app.name)
    if not found.url:
        raise DeployError(
            Code.NOT_DEPLOYED, f"The app {found.name} has no URL yet.", hint="metamcp-deploy deploy"
        )
    url = found.url + ("/.metamcp-deploy/" if operators else "")
    opened = browser.shows(url)
    run.console.data({"app": found.name, "url": url, "opened": opened}, url)


def _document(app: App) -> dict[str, Any]:
    return {"app": app.name, "url": app.url, "compute": app.compute, "state": app.state}
