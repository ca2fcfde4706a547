"""One deployment of an app: compute, the deploy call, following it to its end with the app's own log beside it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from metamcp_deploy import events
from metamcp_deploy.deployments import deploy_intent, readiness
from metamcp_deploy.deployments.records import Wanted
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App, Deployment

_DEPLOY_CALLS = 3
_RUNNING_SECONDS = 30.0
_SHOWN_LINES = 25


def active_compute(workspace: Workspace, app: App) -> App:
    """The app once its compute is ACTIVE; a stopped one is started (which deploys its last deployment again).

    Raises:
        DeployError: DEADLINE; REQUEST_REFUSED, when the compute ends in ERROR.
    """
    from metamcp_deploy.workspace import poll

    if app.compute == "ACTIVE":
        return app
    started = False

    def look() -> App | None:
        nonlocal started
        seen = workspace.apps.get(app.name)
        if seen.compute in ("STOPPED", "ERROR") and not started:
            started = True
            workspace.apps.start(app.name)
            events.emit(events.Changed("started", "app", app.name))
        elif seen.compute == "ERROR":
            raise DeployError(
                Code.REQUEST_REFUSED,
                f"The compute of app {app.name} is in ERROR: {seen.compute_message or 'without a reason'}.",
                hint=f"Look at the app in {workspace.host}; then run the same command again.",
            )
        events.emit(events.Progress(f"waits for the compute of {app.name} ({seen.compute})"))
        return seen if seen.compute == "ACTIVE" else None

    return poll(
        look,
        what=f"the compute of app {app.name} to be ACTIVE",
        within=workspace.waits.compute,
        hint="Run the same command again: it goes on waiting; or wait longer: --set waits.compute=SECONDS",
        clock=workspace.clock,
    )


def idle(workspace: Workspace, name: str) -> App:
    """The app once no deployment is under way."""
    from metamcp_deploy.workspace import poll

    def look() -> App | None:
        seen = workspace.apps.get(name)
        if not _busy(seen):
            return seen
        under_way = seen.pending or seen.active
        events.emit(
            events.Progress(
                f"waits for deployment {under_way.id if under_way else 'another'} that is under way"
            )
        )
        return None

    return poll(
        look,
        what=f"the deployment under way of app {name}",
        within=workspace.waits.deployment,
        hint="Run the same command again: it goes on waiting; or wait longer: --set waits.deployment=SECONDS",
        clock=workspace.clock,
    )


def _busy(app: App) -> bool:
    """Whether a deployment is under way; after a start the official command line waits for the active one, too."""
    from metamcp_deploy.workspace.apps import DEPLOYMENT_ENDED

    starting = app.active is not None and app.active.state == "IN_PROGRESS"
    return starting or (app.pending is not None and app.pending.state not in DEPLOYMENT_ENDED)


def begin(
    workspace: Workspace,
    name: str,
    wanted: Wanted,
    since: deploy_intent.DeployIntent,
    health_check: Mapping[str, str] | None = None,
) -> Deployment:
    """Sends the deploy call. Refused because somebody else's deployment is under way, it waits and sends it again.

    After a lost answer it looks for the deployment, and calls again only when there is none.

    Args:
        workspace: of the app; the lock is held.
        name: of the app.
        wanted: what is deployed.
        since: the moment before the call.
        health_check: of the deployment, as `readiness.check` gives it.

    Raises:
        DeployError: of the last of three calls.
    """
    from metamcp_deploy.workspace import REFUSED, UNSURE

    lost, last = False, None
    for _ in range(_DEPLOY_CALLS):
        try:
            return workspace.apps.deploy(name, wanted.source_code_path, wanted.env, health_check)
        except DeployError as e:
            last = e
            lost = lost or e.code in UNSURE
            busy = e.code in REFUSED and _busy(workspace.apps.get(name))
            if e.code not in UNSURE and not busy:
                raise
        if lost and (found := deploy_intent.deployment(workspace, name, wanted.source_code_path, since)):
            return found
        idle(workspace, name)
    assert last  # noqa: S101 - no call succeeded
    raise last


def follow(workspace: Workspace, name: str, deployment: Deployment) -> Deployment:
    """Waits until the deployment has succeeded and the app runs, with the app's log lines as events meanwhile.

    Returns:
        The deployment as it ended.

    Raises:
        DeployError: DEPLOYMENT_FAILED, with the last log lines; DEPLOYMENT_REPLACED; DEADLINE.
    """
    with _listening(workspace, name, deployment.create_time) as lines:
        ended = _ended(workspace, name, deployment)
        if ended.state == "SUCCEEDED" and _runs(workspace, name, ended):
            return ended
        workspace.clock.sleep(1.0)  # the lines that explain it arrive a moment after the state
    crashed = ended.state == "SUCCEEDED"
    what = "the app crashed after it" if crashed else f"{ended.state}: {ended.message}".rstrip(":. ")
    failed, cause = readiness.cause(lines)
    then = "metamcp-deploy logs -n 40; after the repair: metamcp-deploy app-deploy --redeploy"
    raise DeployError(
        Code.DEPLOYMENT_FAILED,
        f"Deployment {ended.id} of app {name} in {workspace.host} ended: {what}. {failed}".rstrip(),
        hint=f"{cause} {then}".lstrip(),
        detail="\n".join(lines) or None,
    )


def _ended(workspace: Workspace, name: str, deployment: Deployment) -> Deployment:
    from metamcp_deploy.workspace import poll
    from metamcp_deploy.workspace.apps import DEPLOYMENT_ENDED

    def look() -> Deployment | None:
        seen = workspace.apps.deployment(name, deployment.id)
        said = f": {seen.message}" if seen.message else ""
        events.emit(events.Progress(f"deployment {deployment.id} is {seen.state}{said}"))
        return seen if seen.state in DEPLOYMENT_ENDED else None

    return poll(
        look,
        what=f"deployment {deployment.id} of app {name}",
        within=workspace.waits.deployment,
        hint="metamcp-deploy logs; the same command again goes on following it, longer with --set "
        "waits.deployment=SECONDS",
        clock=workspace.clock,
    )


def still_active(workspace: Workspace, name: str, deployment: str) -> None:
    """Holds a deployment, which ran, against the one that is active now.

    Raises:
        DeployError: DEPLOYMENT_REPLACED.
    """
    app = workspace.apps.get(name)
    if app.active is not None and app.active.id != deployment:
        raise _replaced(app, deployment, app.active)


def _replaced(app: App, deployment: str, by: Deployment) -> DeployError:
    who = f" of {by.creator}" if by.creator else ""
    return DeployError(
        Code.DEPLOYMENT_REPLACED,
        f"Deployment {deployment} of app {app.name} ran, but deployment {by.id}{who} took its place meanwhile.",
        hint="See what runs: metamcp-deploy history; agree with the other run's owner; to have this one again: "
        "metamcp-deploy deploy",
    )


def _newer(app: App, ours: Deployment) -> Deployment | None:
    """A deployment of somebody else, active or under way, that began after ours."""
    others = (d for d in (app.pending, app.active) if d is not None and d.id != ours.id)
    return next((d for d in others if ours.create_time and (d.create_time or 0) > ours.create_time), None)


def _runs(workspace: Workspace, name: str, ours: Deployment) -> bool:
    """Whether the app runs after its deployment; False when it crashed. What is neither is left to `health`.

    Raises:
        DeployError: DEPLOYMENT_REPLACED, where it runs somebody else's.
    """
    from metamcp_deploy.workspace import poll

    def look() -> str | None:
        app = workspace.apps.get(name)
        if newer := _newer(app, ours):
            raise _replaced(app, ours.id, newer)
        shown = app.active is None or app.active.id == ours.id
        return app.state if shown and app.state in ("RUNNING", "CRASHED") else None

    try:
        state = poll(look, what="", within=_RUNNING_SECONDS, hint="", clock=workspace.clock)
    except DeployError as e:
        if e.code is not Code.DEADLINE:
            raise
        events.emit(
            events.Warned(
                f"The app {name} is {workspace.apps.get(name).state or 'in no known state'} after its deployment.",
                hint="metamcp-deploy health",
            )
        )
        return True
    return state == "RUNNING"


@contextmanager
def _listening(workspace: Workspace, name: str, since: float | None) -> Iterator[Sequence[str]]:
    """Emits the app's log lines in a thread for the time of the block; gives the last ones."""
    recent: deque[str] = deque(maxlen=_SHOWN_LINES)
    stop = threading.Event()
    thread = threading.Thread(
        target=_listen, args=(workspace, name, since, recent, stop), name="app-log", daemon=True
    )
    thread.start()
    try:
        yield recent
    finally:
        stop.set()
        thread.join(3.0)


def _listen(
    workspace: Workspace, name: str, since: float | None, recent: deque[str], stop: threading.Event
) -> None:
    from metamcp_deploy.workspace.logs import Logs

    while not stop.is_set():
        try:
            logs = Logs(workspace, name, stop=stop)
            # Without the deployment's own time, only what comes from now on is certain to be of it.
            for line in logs.lines(follow=True, last=0 if since is None else None):
                if since is not None and line.timestamp is not None and line.timestamp < since:
                    continue  # of the process before
                recent.append(line.message)
                events.emit(line)
        except DeployError as e:
            if e.code is Code.AUTH_FAILED:
                events.emit(events.Warned(f"The app's log cannot be shown: {e.message}", hint=e.hint))
                return
        stop.wait(1.0)
