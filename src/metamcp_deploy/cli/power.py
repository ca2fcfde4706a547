"""`status`, `start` and `stop` of a deployed app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from metamcp_deploy.cli.history import moment
from metamcp_deploy.cli.options import AppOption, Run, Wait, common
from metamcp_deploy.stages.bundle_deploy import ForceLock

if TYPE_CHECKING:
    from metamcp_deploy.deployments.history import Entry
    from metamcp_deploy.deployments.status import Status
    from metamcp_deploy.errors import DeployError
    from metamcp_deploy.workspace.apps import App


@common
def status(run: Run, app: AppOption = None) -> None:
    """Show in one look how the app is; exit code 0 only when it is healthy."""
    from metamcp_deploy.deployments import status as stage
    from metamcp_deploy.knowledge.place import Place
    from metamcp_deploy.target import locate

    run.app = app
    with run.console.following():
        found = stage.look(locate.site(run.project))
    failure = found.health.failure(Place.of(run.project))
    if run.output == "json":
        run.console.data(found.as_dict() | ({"error": run.shown(failure)} if failure else {}))
    else:
        hint = run.console.completed(failure.hint) if failure else ""
        run.console.rows(_rows(found, failure, hint))
    if failure:
        raise typer.Exit(1)


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


def _rows(found: Status, failure: DeployError | None, hint: str) -> list[tuple[str, str, str]]:
    """Label, text and style of each line."""
    good, bad = "green", "bold red"
    styles = {
        "compute": good if found.app.compute == "ACTIVE" else "yellow",
        "state": good if found.app.state == "RUNNING" else bad if found.app.state == "CRASHED" else "yellow",
        "lock": "yellow" if found.lock else "",
        "health": good if found.healthy else bad,
    }
    rows = {
        "app": f"{found.app.name}  {found.app.url}",
        "target": found.target or "",
        "workspace": f"{found.host}  {found.root}",
        "compute": found.app.compute,
        "state": found.app.state,
        "running": _deployment(found.running),
        "under way": _deployment(found.pending) if found.pending else "",
        "release": _release(found.running),
        "database": _database(found),
        "lock": found.lock or "free",
        "health": found.health.status.value,
    }
    lines = [(label, text, styles.get(label, "")) for label, text in rows.items() if text]
    if failure:
        seen = [("", line, "dim") for line in (failure.detail or "").splitlines()]
        lines += [("", failure.message, bad), *seen, ("Next", hint, "bold")]
    return lines


def _deployment(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    words = [entry.deployment, entry.kind, f"of {moment(entry.at)} by {entry.by}"]
    return "  ".join([*words, f"“{entry.message}”"] if entry.message else words)


def _release(entry: Entry | None) -> str:
    if entry is None or entry.release is None:
        return ""
    return entry.release + (f"  MetaMCP {entry.pin}" if entry.pin else "")


def _database(found: Status) -> str:
    restored = found.running.restored if found.running else None
    name = found.database or "external"
    return name + (f"  (data as of {restored['at']}, by a rollback)" if restored else "")
