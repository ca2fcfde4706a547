"""Starting, stopping and restarting a deployed app, waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metamcp_deploy import events
from metamcp_deploy.deployments import rollout
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import locate, session
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App


def start(site: Site, force_lock: bool = False) -> App:
    """Starts the app's compute, and with it the last deployment; gives the app once it runs or has crashed.

    One that crashed while its compute is active is stopped first: the platform starts no compute that runs.

    Raises:
        DeployError: NOT_FOUND; NOT_DEPLOYED, when there is nothing to run; DEADLINE; LOCK_HELD.
    """
    workspace, name = site.workspace, site.project.settings.app.name
    app = workspace.apps.get(name)
    if app.compute == "ACTIVE" and app.state == "RUNNING":
        events.emit(events.Changed("kept", "app", f"{name} (runs)"))
        return app
    with session.locked(site, force_lock):
        if app.compute == "ACTIVE" and app.state == "CRASHED":
            _stopped(site)
        rollout.active_compute(workspace, workspace.apps.get(name))
        app = rollout.idle(workspace, name)
        # `active_deployment` is no sign: a stop can clear it, and the start brings it back in its own time.
        if app.active is None and locate.root_of(app) is None:
            raise DeployError(
                Code.NOT_DEPLOYED,
                f"The compute of {name} has started, and nothing was ever deployed to run on it.",
                hint="metamcp-deploy deploy",
            )
        return _runs(site)


def _runs(site: Site) -> App:
    from metamcp_deploy.workspace import poll

    workspace, name = site.workspace, site.project.settings.app.name

    def look() -> App | None:
        seen = workspace.apps.get(name)
        return seen if seen.state in ("RUNNING", "CRASHED") else None

    return poll(
        look,
        what=f"the app {name} to run",
        within=site.project.settings.waits.deployment,
        hint=f"Deploy the last good one again: metamcp-deploy rollback {locate.called(site.project)}; or wait "
        "longer: --set waits.deployment=SECONDS",
        clock=workspace.clock,
    )


def stop(site: Site, force_lock: bool = False) -> App:
    """Stops the app's compute; gives the app once it has ended. Data and settings stay.

    Raises:
        DeployError: NOT_FOUND, DEADLINE, LOCK_HELD.
    """
    workspace, name = site.workspace, site.project.settings.app.name
    app = workspace.apps.get(name)
    if app.compute == "STOPPED":
        events.emit(events.Changed("kept", "app", f"{name} (stopped)"))
        return app

    with session.locked(site, force_lock):
        stopped = _stopped(site)
    events.emit(events.Changed("stopped", "app", name))
    return stopped


def restart(site: Site, force_lock: bool = False) -> App:
    """Stops the app's compute and starts it with the last deployment; one that is stopped is only started.

    Raises:
        DeployError: as `stop` and `start`.
    """
    with session.locked(site, force_lock):
        stop(site)
        return start(site)


def _stopped(site: Site) -> App:
    from metamcp_deploy.workspace import poll

    workspace, name = site.workspace, site.project.settings.app.name

    def look() -> App | None:
        seen = workspace.apps.get(name)
        return seen if seen.compute == "STOPPED" else None

    events.emit(events.Progress(f"stops the app {name}"))
    workspace.apps.stop(name)
    return poll(
        look,
        what=f"the compute of app {name} to be STOPPED",
        within=site.project.settings.waits.compute,
        hint="Run the same command again; or wait longer: --set waits.compute=SECONDS",
        clock=workspace.clock,
    )
