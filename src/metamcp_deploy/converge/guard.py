"""After a rollback of the data: no deployment moves the app back to the newer data unless somebody decides that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import databases, ledger

if TYPE_CHECKING:
    from metamcp_deploy.target.site import Site
    from metamcp_deploy.workspace.apps import App


def hold(site: Site, app: App, resources: Sequence[Mapping[str, Any]], target: str) -> None:
    """Does nothing unless the app runs on a branch that a rollback made, and its database would change.

    Args:
        site: of the target; its ledger, which names such branches, is read only where the database differs.
        app: as it is.
        resources: as they would be.
        target: its name.

    Raises:
        DeployError: CONFIG_CONFLICT, with both ways to decide.
    """
    # An unsigned ledger counts, too: whoever forges one gets this refusal, and no app to other data.
    present, wanted = databases.attached(app.resources), databases.attached(resources)
    branch = present.branch_name or ""
    if present.identity == wanted.identity or not ledger.read(site).has("branches", branch):
        return
    raise DeployError(
        Code.CONFIG_CONFLICT,
        f"The app {app.name} runs on the branch {branch}, to which a rollback took its data back; the settings "
        f"name {wanted.identity or 'an external database'}. What was written since the rollback is "
        "on that branch alone.",
        hint=f"To stay with it, set database.branch: {branch.rsplit('/', 1)[1]} for target {target}. To return to the "
        f"newer data: metamcp-deploy rollback DEPLOYMENT -t {target}, one that ran on it (metamcp-deploy history -t "
        f"{target}); then deploy.",
    )
