"""What an app takes time for: being changed, and being gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace


def change(workspace: Workspace, name: str, fields: Mapping[str, Any], within: float) -> None:
    """Changes fields of an app and waits until that is done; where another change is under way, after that one.

    Args:
        workspace: of the app.
        name: of the app.
        fields: with their new values, as `Apps.update` takes them.
        within: seconds to wait for each.

    Raises:
        DeployError: as `changed`; those of the call.
    """
    from metamcp_deploy.workspace import REFUSED

    try:
        workspace.apps.update(name, fields)
    except DeployError as e:
        # Begun by a run that was killed, by one whose answer was lost, or by hand.
        if e.code not in REFUSED or not _under_way(workspace, name):
            raise
        changed(workspace, name, within)
        workspace.apps.update(name, fields)
    changed(workspace, name, within)


def _under_way(workspace: Workspace, name: str) -> bool:
    try:
        return workspace.apps.update_state(name)[0] == "IN_PROGRESS"
    except DeployError as e:
        if e.code is Code.NOT_FOUND:
            return False
        raise


def changed(workspace: Workspace, name: str, within: float) -> None:
    """Waits until the change of an app that was begun is done.

    Raises:
        DeployError: REQUEST_REFUSED, when the platform could not change it; DEADLINE.
    """
    from metamcp_deploy.workspace import poll

    def look() -> tuple[str, str] | None:
        state = workspace.apps.update_state(name)
        return None if state[0] == "IN_PROGRESS" else state

    state, message = poll(
        look,
        what=f"the change of app {name}",
        within=within,
        hint="Run the same command again: it goes on from there; or wait longer: --set waits.change=SECONDS",
        clock=workspace.clock,
    )
    if state == "FAILED":
        raise DeployError(
            Code.REQUEST_REFUSED,
            f"The app {name} could not be changed: {message or 'the platform does not say why'}.",
            hint="Check app and database of the target: metamcp-deploy config show --origin",
        )


def gone(workspace: Workspace, name: str, within: float) -> None:
    """Waits until an app that is being deleted is gone.

    Raises:
        DeployError: DEADLINE.
    """
    from metamcp_deploy.workspace import poll

    events.emit(events.Progress(f"waits for the app {name} to be gone (it is DELETING, up to 20 minutes)"))
    poll(
        lambda: True if workspace.apps.find(name) is None else None,
        what=f"the app {name} to be gone (it is DELETING)",
        within=within,
        hint="Run the same command again later, wait longer with --set waits.deletion=SECONDS, or choose another "
        "app.name.",
        clock=workspace.clock,
        longest=10.0,
    )
