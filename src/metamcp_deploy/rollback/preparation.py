"""Finds the deployment to return to and what that takes, before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metamcp_deploy.converge.parts.app import fields as app_fields
from metamcp_deploy.converge.parts.deployment import differences
from metamcp_deploy.deployments import deploy_intent, point_in_time, records, rollback_target, schema_changes
from metamcp_deploy.deployments.point_in_time import RestoredBranch
from metamcp_deploy.deployments.records import Record, Wanted
from metamcp_deploy.deployments.schema_changes import SchemaChanges
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import OURS, Action, Change, Difference, Plan
from metamcp_deploy.release import releases
from metamcp_deploy.rollback import proof
from metamcp_deploy.target import databases, desired, locate
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App

_FORMAT = 1  # of records that are understood


@dataclass(frozen=True)
class Wishes:
    """What a rollback is to do.

    Attributes:
        deployment: id, or its first digits; None for the newest good one before what runs.
        to_database: also the database, as it was before later deployments migrated it.
        keep_database: the older release runs on the newer schema.
        release: id of the release that the deployment must have run; one of format 1, and one that only an unsigned
            record names, is deployed only when it is named here.
    """

    deployment: str | None = None
    to_database: bool = False
    keep_database: bool = False
    release: str | None = None


@dataclass(frozen=True)
class Rollback:
    """What a rollback does.

    Attributes:
        target: the deployment to return to.
        app: as it is now.
        wanted: what runs in the end.
        desired: the app as it was then.
        changes: its fields that differ now.
        schema_changes: what happened to the target's database since.
        restored: the branch to be made, with `to_database`.
        running: the record of what runs now; None where no record can be believed about it.
        recorded: what the target's own record says, where that is not signed and the settings count instead.
    """

    target: Record
    app: App
    wanted: Wanted
    desired: desired.App
    changes: tuple[Difference, ...]
    schema_changes: SchemaChanges
    restored: RestoredBranch | None
    running: Record | None
    recorded: Record | None = None

    @property
    def plan(self) -> Plan:
        """All of it, in the order of acting."""
        action = Action.CHANGE if self.changes else Action.KEEP
        made = [
            *(self.restored.changes() if self.restored else self._database()),
            Change(action, "app", self.app.name, OURS, differences=self.changes),
        ]
        if self.app.compute != "ACTIVE":
            made.append(Change(Action.START, "app compute", self.app.name, OURS, f"it is {self.app.compute}"))
        if self.recorded:
            told = tuple(differences({**self.recorded.raw, "secrets": self.wanted.secrets}, self.wanted))
            why = "its record is not signed: the environment and the resources of the settings are used"
            made.append(Change(Action.CHECK, "record", self.target.deployment, "", why, told))
        pin = f" ({self.target.pin})" if self.target.pin else ""
        why = (
            f"release {self.target.release}{pin}, as deployed {self.target.at} by {self.target.raw.get('by')}"
        )
        fields = tuple(differences(self.running.raw, self.wanted)) if self.running else ()
        return Plan((*made, Change(Action.DEPLOY, "deployment", self.target.deployment, OURS, why, fields)))

    def _database(self) -> tuple[Change, ...]:
        name = databases.attached(self.wanted.resources).identity or "external"
        why = (
            f"keeps {', '.join(self.schema_changes.names)}, which the older release does not know"
            if self.schema_changes.names
            else ""
        )
        return (Change(Action.KEEP, "database", name, reason=why),)


def look(site: Site, wishes: Wishes) -> Rollback:
    """The way back; only reads.

    Raises:
        DeployError: NOT_FOUND without app or deployment; NO_WAY_BACK, when its release or the moment is gone;
            RECORD_UNSIGNED, RELEASE_UNPROVEN for a release that is not named;
            SCHEMA_MOVED, when the database moved on and it is not said what is to become of that.
    """
    workspace, root = site.workspace, site.root
    app = workspace.apps.get(site.project.settings.app.name)
    written = rollback_target.since_destroyed(
        _written(site, app, None if wishes.deployment else records.LOOKED_AT)
    )
    kept = _settled(site, app, written)
    running = app.active.id if app.active else None
    options = locate.called(site.project)
    named = wishes.deployment or rollback_target.unfinished(written)
    target = rollback_target.choose(kept, running, named, f"metamcp-deploy history {options}")
    _understood(target)
    if not releases.is_complete(workspace, root, target.release):
        raise DeployError(
            Code.NO_WAY_BACK,
            f"Release {target.release}, which deployment {target.deployment} ran, is not (or not wholly) in {root}.",
            hint=f"Which are there: metamcp-deploy release list {options}; or build that release again and deploy it.",
        )
    target, recorded = proof.proven(site, app, target, wishes.release)
    moved = schema_changes.since(target, kept)
    found = point_in_time.find(site, target, moved, written) if wishes.to_database else None
    if moved and not (found or wishes.keep_database):
        raise _moved(target, moved, options)
    resources = found.resources(target.resources) if found else target.resources
    wanted = replace(target.wanted, resources=resources, secrets=_versions(site, resources))
    before = next((r for r in kept if r.deployment == running and records.proves(site, r)), None)
    then = _then(app, target, resources)
    changes = app_fields.differences(app, then, before.raw if before else {})
    _may_be_changed(site, found, changes)
    return Rollback(target, app, wanted, then, changes, moved, found, before, recorded)


def _written(site: Site, app: App, count: int | None) -> list[Record]:
    """The records, with that of a deployment which a killed run began and did not write any more."""
    kept = records.newest(site, count)
    newest = app.pending or app.active
    if newest is None or any(r.deployment == newest.id for r in kept):
        return kept
    begun = deploy_intent.unrecorded(site, app)
    return [begun, *kept] if begun else kept


def _then(app: App, target: Record, resources: Sequence[dict[str, Any]]) -> desired.App:
    """The app as it was; what the record does not say, as it is."""
    recorded = target.raw.get("desired") or {}
    return desired.App(
        name=app.name,
        managed=True,
        description=str(recorded.get("description") or app.raw.get("description") or ""),
        compute_size=str(recorded.get("compute_size") or app.raw.get("compute_size") or ""),
        resources=tuple(resources),
        env=(),
        user_api_scopes=tuple(recorded.get("user_api_scopes") or app.raw.get("user_api_scopes") or ()),
    )


def _may_be_changed(site: Site, found: RestoredBranch | None, changes: Sequence[Difference]) -> None:
    """What is managed elsewhere is not changed by a rollback either."""
    settings = site.project.settings
    theirs = {
        "database": found is not None and not settings.database.managed,
        "app": bool(changes) and not settings.app.managed,
    }
    for what in (name for name, refused in theirs.items() if refused):
        fields = ", ".join(change.field for change in changes)
        raise DeployError(
            Code.NO_WAY_BACK,
            f"The {what} is managed elsewhere ({what}.managed), and this rollback would change it: {fields}.",
            hint="Ask its owner for that; then run the same command again.",
        )


def _settled(site: Site, app: App, kept: Sequence[Record]) -> list[Record]:
    """The records, with the outcomes that runs which were killed left open, as the workspace knows them."""
    if all(record.outcome != "IN_PROGRESS" for record in kept):
        return list(kept)
    known = {one.id: one.state for one in site.workspace.apps.deployments(app.name)}
    return [
        replace(r, raw={**r.raw, "outcome": known.get(r.deployment, r.outcome)})
        if r.outcome == "IN_PROGRESS"
        else r
        for r in kept
    ]


def _understood(target: Record) -> None:
    said = target.raw.get("format")
    if said != _FORMAT or any(name not in target.raw for name in Wanted.__dataclass_fields__):
        raise DeployError(
            Code.NO_WAY_BACK,
            f"{target.path} is of format {said}, and this version of metamcp-deploy reads format {_FORMAT}.",
            hint="Use the version that deployed it: pip install -U metamcp-deploy",
        )


def _moved(target: Record, moved: SchemaChanges, options: str) -> DeployError:
    again = f"metamcp-deploy rollback {target.deployment[:12]} {options}"
    if moved.names:
        what = f"migrations that its release does not know have run since: {', '.join(moved.names)}"
    else:
        what = f"nobody knows which migrations have run since: {', '.join(moved.unrecorded)} did not record theirs"
    return DeployError(
        Code.SCHEMA_MOVED,
        f"The database moved on after deployment {target.deployment}: {what}.",
        hint=f"{again} --keep-database runs the older release on the newer schema; {again} --to-database gives it a "
        "branch with the data from before, without what was written since. --plan shows either.",
    )


def _versions(site: Site, resources: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """When each secret that the app gets was last written: a rollback does not bring back the value of a secret."""
    used = [r["secret"] for r in resources if "secret" in r]
    found: dict[str, int] = {}
    for scope in sorted({str(one["scope"]) for one in used}):
        written = site.workspace.secrets.written(scope) or {}
        keys = sorted(str(one["key"]) for one in used if one["scope"] == scope)
        found |= {key: written[key] for key in keys if key in written}
    return found
