"""The database as it was at a moment: a Lakebase branch from then, beside what there is. Nothing is overwritten."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.deployments.rollback_target import SUCCEEDED
from metamcp_deploy.deployments.schema_changes import SchemaChanges
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import OURS, Action, Change
from metamcp_deploy.target import databases, ledger
from metamcp_deploy.target.databases import Database
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


@dataclass(frozen=True)
class RestoredBranch:
    """A branch to be made, or made by a run that was interrupted.

    Attributes:
        source: the branch that it comes from (`projects/P/branches/B`).
        branch: its name.
        at: the moment (RFC 3339), on the workspace's clock.
        database: of the app's resource on the branch.
        there: whether it exists already.
    """

    source: str
    branch: str
    at: str
    database: str
    there: bool

    def changes(self) -> tuple[Change, ...]:
        """What a plan says."""
        action = Action.KEEP if self.there else Action.CREATE
        why = f"the data of {self.source} as of {self.at}; what was written since stays there, unseen by the app"
        return (Change(action, "Lakebase branch", self.branch, OURS, why),)

    def resources(self, before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The app's resources, with this branch in place of its source."""
        return [databases.moved(resource, self.branch) for resource in before]

    def as_record(self) -> dict[str, str]:
        """What the record of the deployment keeps."""
        return {"branch": self.branch, "from": self.source, "at": self.at}


def find(site: Site, target: Record, changes: SchemaChanges, records: Sequence[Record]) -> RestoredBranch:
    """The branch that `--to-database` means; only reads.

    Args:
        site: of the target.
        target: the deployment to return to.
        changes: what happened to its database since.
        records: all of the target: a branch that a rollback used has moved on, and is not taken for the moment.

    Raises:
        DeployError: NO_WAY_BACK, when there is no such moment, or the project's history does not reach it.
    """
    workspace, database = site.workspace, databases.attached(target.resources)
    source = database.branch_name
    if not source:
        raise _impossible(
            f"Deployment {target.deployment} ran on a database that is not Lakebase autoscaling, of which no branch "
            "can be made.",
            "Restore it by its own means where that is needed, and go back with --keep-database.",
        )
    at = changes.first.raw.get("migrations_at") if changes.first else None
    if not at:
        raise _impossible(
            f"No deployment after {target.deployment} recorded the moment before its migrations ran.",
            "Go back with --keep-database, or make a branch by hand and name it as database.branch.",
        )
    _reaches(workspace, database, at)
    branch = _name(database.holder, at, records)
    there = workspace.lakebase.find(branch) is not None
    return RestoredBranch(source, branch, at, database.on_branch(branch).identity, there)


def _name(project: str, at: str, records: Sequence[Record]) -> str:
    """`rollback-<moment>`, the same again after an interrupted run; with a number where a deployment ran on it."""
    used = {(r.raw.get("restored") or {}).get("branch") for r in records if r.outcome == SUCCEEDED}
    base = f"{project}/branches/rollback-{re.sub('[^0-9t]', '', at.lower().partition('.')[0])}"
    names = (base, *(f"{base}-{number}" for number in range(2, len(used) + 3)))
    return next(name for name in names if name not in used)


def _reaches(workspace: Workspace, database: Database, at: str) -> None:
    """Whether the project still knows the moment; where it does not say, the branch's creation will."""
    days = kept_seconds(database.find(workspace))
    if days is None:
        return
    moment = datetime.fromisoformat(at).timestamp()
    now = workspace.files.time() or time.time()
    if moment < now - days:
        raise _impossible(
            f"{database.holder} keeps {days / 86400:g} days of history, and {at} is {(now - moment) / 86400:.1f} days "
            "ago.",
            "Go back with --keep-database. For the next time: database.history_days reaches up to 35.",
        )


def kept_seconds(project: dict[str, Any] | None) -> float | None:
    """How far back branches of a project can reach, in seconds; None where it does not say."""
    said = ((project or {}).get("status") or {}).get("history_retention_duration")
    match = _SECONDS.fullmatch(str(said))
    return float(match[1]) if match else None


def make(site: Site, restored: RestoredBranch) -> None:
    """Makes the branch with an endpoint, which the ledger claims; what exists is kept."""
    workspace, within = site.workspace, site.project.settings.waits.database
    ours = not restored.there or ledger.intends(site, "branches", restored.branch)
    with ledger.claiming(site, {"branches": [restored.branch] if ours else []}):
        events.emit(events.Progress(f"makes a branch of {restored.source} as of {restored.at}"))
        made = workspace.lakebase.branch_at(restored.branch, restored.source, restored.at, within)
    events.emit(events.Changed("created" if made else "kept", "Lakebase branch", restored.branch))
    endpoint = f"{restored.branch}/endpoints/{databases.of(site.project.settings).endpoint_name}"
    if not workspace.lakebase.children(restored.branch, "endpoints"):
        workspace.lakebase.ensure_endpoint(endpoint, within)
    names = workspace.lakebase.children(restored.branch, "databases")
    if restored.database not in names:
        raise DeployError(
            Code.WORKSPACE_ANSWER,
            f"The branch {restored.branch} holds no {restored.database}, as its source does: "
            f"{', '.join(names) or 'nothing'}.",
            hint="Was the database made after that moment? Look at the branch in the workspace, and name one that fits "
            "as database.branch.",
        )


def _impossible(what: str, hint: str) -> DeployError:
    return DeployError(Code.NO_WAY_BACK, what, hint=hint)
