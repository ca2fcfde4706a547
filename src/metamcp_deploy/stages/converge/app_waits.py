"""What an app takes time for: being changed, and being gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace


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
