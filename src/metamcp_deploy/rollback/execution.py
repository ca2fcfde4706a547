"""Carries out a rollback: on request its database, then the app, the deployment, and proof that it serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events, health
from metamcp_deploy.config.project import Project
from metamcp_deploy.converge.parts.app import fields as app_fields
from metamcp_deploy.converge.parts.app import waits as app_waits
from metamcp_deploy.deployments import access, deployment, point_in_time, records, rollout
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.knowledge.place import Place
from metamcp_deploy.rollback import preparation
from metamcp_deploy.rollback.preparation import Rollback, Wishes
from metamcp_deploy.target import locate, session, writers
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App

HEALTHY_SECONDS = 120.0
_OTHERS = (Code.LOCK_LOST, Code.DEPLOYMENT_REPLACED)  # another run works there now


@dataclass(frozen=True)
class Done:
    """A rollback that serves: the way it went, the deployment's id, whether that is new, and the app's health."""

    rollback: Rollback
    deployment: str
    new: bool
    report: health.Report

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "deployment": self.deployment,
            "new": self.new,
            "of": self.rollback.target.deployment,
            "release": self.rollback.target.release,
            "migrations_kept": list(self.rollback.schema_changes.names)
            if self.rollback.restored is None
            else [],
            "restored": self.rollback.restored.as_record() if self.rollback.restored else None,
            "health": self.report.as_dict(),
        }


def run(
    site: Site,
    wishes: Wishes,
    *,
    message: str | None = None,
    force_lock: bool = False,
    wait: float = HEALTHY_SECONDS,
) -> Done:
    """Goes back to an earlier deployment, and waits until it serves.

    Args:
        site: of the target.
        wishes: which deployment, and what of its database.
        message: kept in the record.
        force_lock: take the target's lock although somebody holds it.
        wait: seconds for the app to be healthy.

    Raises:
        DeployError: those of `preparation.look` before anything is changed; LOCK_HELD; DEPLOYMENT_FAILED; UNHEALTHY.
    """
    workspace = site.workspace
    preparation.look(site, wishes)
    writers.allow(site)
    with session.locked(site, force_lock):
        found = preparation.look(site, wishes)  # again: somebody may have held the lock until now
        _announce(found)
        if found.restored or found.changes:  # which would stay where the release is refused
            deployment.check(site, found.target.release, wishes.release)
        if found.restored:
            point_in_time.make(site, found.restored)
        app = _changed(site, found)
        more = _repeats(found)
        more |= {"restored": found.restored.as_record()} if found.restored else {}
        done = deployment.deploy(
            site, app, found.wanted, message=message, kind="rollback", more=more, trusted=wishes.release
        )
        report = access.check(workspace, workspace.apps.get(app.name), wait)
        if failure := report.failure(Place.of(site.project)):
            records.amend_by_id(site, done.id, outcome="UNHEALTHY", error=failure.message)
            raise failure
        rollout.still_active(workspace, app.name, done.id)
    if found.restored:
        events.emit(events.Note(_stays(site, found, found.restored)))
    return Done(found, done.id, done.new, report)


def _repeats(found: Rollback) -> dict[str, Any]:
    """What the record says beyond a deployment's: the one that it repeats, with its target and configuration."""
    repeated = {name: found.target.raw.get(name) for name in ("target", "configuration")}
    # What the settings stated of the database goes on: a rollback does not change its sizes.
    stated = (found.running.raw.get("desired") or {} if found.running else {}).get("database") or {}
    kept = app_fields.for_record(found.desired) | {"database": stated}
    return {"of": found.target.deployment, "desired": kept, **repeated}


def _announce(found: Rollback) -> None:
    target = found.target
    pin = f", MetaMCP {target.pin}" if target.pin else ""
    events.emit(
        events.Note(
            f"Goes back to deployment {target.deployment} of {target.at}: release {target.release}{pin}."
        )
    )
    if found.schema_changes and not found.restored:
        names = ", ".join(found.schema_changes.names) or "migrations that were not recorded"
        text = f"The database keeps {names}, which this release does not know: it runs on the newer schema."
        events.emit(events.Warned(text, "If something is missing, deploy the newer release again."))


def _changed(site: Site, found: Rollback) -> App:
    """The app as it was then."""
    workspace, name = site.workspace, found.app.name
    if not found.changes:
        return found.app
    body = app_fields.body(found.changes, found.app, found.desired)
    app_waits.change(workspace, name, body, site.project.settings.waits.change)
    fields = ", ".join(sorted({d.field.partition(".")[0] for d in found.changes}))
    events.emit(events.Changed("changed", "app", f"{name} ({fields})"))
    return workspace.apps.get(name)


def _stays(site: Site, found: Rollback, branch: point_in_time.RestoredBranch) -> str:
    """What to know after the data went back."""
    options, short = locate.called(site.project), branch.branch.rsplit("/", 1)[1]
    back = (
        f"`metamcp-deploy rollback {found.running.deployment[:12]} {options}`"
        if found.running
        else "a rollback"
    )
    return (
        f"The app runs on {branch.branch}, the data as of {branch.at}. What was written since is in {branch.source}, "
        f"untouched. To stay, set database.branch: {short}; until then `deploy` refuses, so that nobody changes the "
        f"data by accident. To return to the newer data: {back}."
    )


@contextmanager
def on_failure(project: Project, wanted: bool = True) -> Iterator[None]:
    """For pipelines: where a deployment that the block begins fails or is not healthy, the one before runs again.

    Raises:
        DeployError: the failure, and what became of the way back.
    """
    with session.shared() as this_run:
        try:
            yield
        except DeployError as e:
            if not wanted or not this_run.deployments or e.code in _OTHERS:
                raise
            raise _after(project, this_run.deployments[-1], e) from e


def _after(project: Project, begun: str, failure: DeployError) -> DeployError:
    events.emit(events.Warned(failure.message, "Rolling back, as --rollback-on-failure asks for."))
    try:
        site = session.site(project)
        bad = "UNHEALTHY" if failure.code is Code.UNHEALTHY else "FAILED"
        records.amend_by_id(site, begun, outcome=bad, error=failure.message)
        done = run(site, Wishes(keep_database=True), message=f"instead of {begun}, which failed")
    except DeployError as e:
        return DeployError(
            failure.code,
            f"{failure.message} And the rollback did not work: {e.message}",
            hint=f"{failure.hint} For the rollback: {e.hint}",
            detail="\n".join(d for d in (failure.detail, e.detail) if d) or None,
        )
    serving = done.rollback.target
    return DeployError(
        failure.code,
        f"{failure.message} Release {serving.release} of {serving.at} was deployed again (deployment "
        f"{done.deployment}) and is healthy.",
        hint=failure.hint,
        detail=failure.detail,
    )
