"""`status`, `start` and `stop` of a deployed app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from metamcp_deploy.cli.history import moment
from metamcp_deploy.cli.options import AppOption, Run, common
from metamcp_deploy.stages.bundle_deploy import ForceLock

if TYPE_CHECKING:
    from metamcp_deploy.deployments.history import Entry
    from metamcp_deploy.deployments.status import Status
    from metamcp_deploy.knowledge.place import Place
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
    run.console.data(found.as_dict(), _shown(found, Place.of(run.project)))
    if not found.healthy:
        raise typer.Exit(1)


@common
def start(run: Run, app: AppOption = None, force_lock: ForceLock = False) -> None:
    """Start the app's compute, and with it the last deployment."""
    from metamcp_deploy.deployments import start_stop
    from metamcp_deploy.target import locate, session

    run.app = app
    with run.console.following(), session.shared():
        started = start_stop.start(locate.site(run.project), force_lock)
    _told(run, started)


@common
def stop(run: Run, app: AppOption = None, force_lock: ForceLock = False) -> None:
    """Stop the app's compute; data, releases and settings stay."""
    from metamcp_deploy.deployments import start_stop
    from metamcp_deploy.target import locate, session

    run.app = app
    with run.console.following(), session.shared():
        stopped = start_stop.stop(locate.site(run.project), force_lock)
    _told(run, stopped)


def _told(run: Run, app: App) -> None:
    document = {"app": app.name, "url": app.url, "compute": app.compute, "state": app.state}
    run.console.data(document, f"{app.name}  {app.compute}  {app.url}")


def _shown(found: Status, place: Place) -> str:
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
    lines = [f"{label:<10} {text}" for label, text in rows.items() if text]
    if failure := found.health.failure(place):
        lines += [f"{'':<10} {failure.message}", f"{'':<10} Next: {failure.hint}"]
    return "\n".join(lines)


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
