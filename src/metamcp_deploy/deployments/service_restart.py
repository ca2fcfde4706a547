"""Restarting one service of an app, by its launcher: the app goes on to answer for what does not need that service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metamcp_deploy import events
from metamcp_deploy.deployments import launcher_status
from metamcp_deploy.deployments.launcher_document import Service
from metamcp_deploy.deployments.launcher_status import TOKEN_HEADER, Outcome
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    import requests

    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

_PATH = "/.metamcp-deploy/restart/"
_SECONDS = 10.0  # for an answer
_WHOLE = "Restart the whole app: metamcp-deploy restart"


def restart(workspace: Workspace, app: App, name: str, within: float) -> Service:
    """Ends a service's process, and waits until the next one answers.

    Args:
        workspace: the login; it needs CAN_MANAGE on the app.
        app: as the workspace describes it.
        name: `backend` or `frontend`.
        within: seconds until it answers.

    Returns:
        The service, up.

    Raises:
        DeployError: FEATURE_MISSING for a release whose launcher cannot; PERMISSION_DENIED; UNHEALTHY where it does not
            answer, or the service has no process; DEADLINE.
    """
    from metamcp_deploy.workspace import poll

    before = _service(workspace, app, name)
    answer = _asked(workspace, app, name)
    if answer.status_code != 202:
        raise _refused(answer, app, name)
    events.emit(events.Changed("changed", "service", f"{name} of {app.name} (restarting)"))

    def look() -> Service | None:
        now = _service(workspace, app, name)
        return now if now.up and (now.since, now.pid) != (before.since, before.pid) else None

    return poll(
        look,
        what=f"the {name} of {app.name} to answer again",
        within=within,
        hint="Name the cause: metamcp-deploy doctor",
        clock=workspace.clock,
    )


def _service(workspace: Workspace, app: App, name: str) -> Service:
    read = launcher_status.read(workspace, app.url, _SECONDS)
    if read.document is not None:
        found: Service = getattr(read.document.services, name)
        return found
    where = f"the launcher of {app.name}"
    match read.outcome:
        case Outcome.OLDER:
            raise _missing(app)
        case Outcome.NOT_AUTHENTICATED | Outcome.NOT_PERMITTED:
            raise _denied(workspace, app, read.detail)
        case _:
            raise DeployError(
                Code.UNHEALTHY, f"{where} does not answer: {read.detail or read.outcome.value}.", hint=_WHOLE
            )


def _asked(workspace: Workspace, app: App, name: str) -> requests.Response:
    import requests

    headers = workspace.app_headers()
    headers[TOKEN_HEADER] = headers["Authorization"].removeprefix("Bearer ")

    def signed(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`: requests would replace the Authorization header by what a ~/.netrc holds for the host.
        prepared.headers.update({**headers, "Accept": "application/json"})
        return prepared

    try:
        return workspace.network.requests_session().post(
            f"{app.url}{_PATH}{name}", auth=signed, allow_redirects=False, timeout=_SECONDS
        )
    except requests.exceptions.RequestException as e:
        said = f"the launcher of {app.name} does not answer: {type(e).__name__}."
        raise DeployError(Code.UNHEALTHY, said, hint=_WHOLE) from e


def _refused(answer: requests.Response, app: App, name: str) -> DeployError:
    try:
        said = answer.json()
    except ValueError:
        said = {}
    code = str(said.get("code") or "") if isinstance(said, dict) else ""
    if code == "not_running":
        return DeployError(
            Code.UNHEALTHY,
            f"The {name} of {app.name} has no process that could be restarted.",
            hint="Name the cause: metamcp-deploy doctor",
        )
    if code in (
        "not_a_manager",
        "token_refused",
        "credentials_missing",
        "token_unchecked",
        "too_many_checks",
    ):
        return DeployError(
            Code.PERMISSION_DENIED,
            f"The launcher of {app.name} refused: {said.get('message')}",
            hint="Ask somebody who manages the app, or for CAN_MANAGE on it; then run the same command again.",
        )
    return _missing(app)


def _denied(workspace: Workspace, app: App, said: str) -> DeployError:
    return DeployError(
        Code.PERMISSION_DENIED,
        f"{workspace.me} may not restart a service of {app.name}: that takes CAN_MANAGE on it.",
        hint="Ask somebody who manages the app, or for CAN_MANAGE on it; then run the same command again.",
        detail=said or None,
    )


def _missing(app: App) -> DeployError:
    return DeployError(
        Code.FEATURE_MISSING,
        f"The release that {app.name} runs is of a version whose launcher cannot restart one service.",
        hint=_WHOLE,
    )
