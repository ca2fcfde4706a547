"""Carrying out a rollback: its database where that is asked for, the app, the deployment, and proof that it serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events, health
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages import connection, deployment, operate, records, standing
from metamcp_deploy.stages.connection import Site
from metamcp_deploy.stages.rollback import past, way
from metamcp_deploy.stages.rollback.way import Way, Wishes

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App

# After these the newest deployment may be one that does not serve.
_FAILURES = frozenset({Code.DEPLOYMENT_FAILED, Code.UNHEALTHY, Code.DEADLINE})
HEALTHY_SECONDS = 120.0


@dataclass(frozen=True)
class Done:
    """A rollback that serves: the way it went, the deployment's id, whether that is new, and the app's health."""

    way: Way
    deployment: str
    new: bool
    report: health.Report

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "deployment": self.deployment,
            "new": self.new,
            "of": self.way.target.deployment,
            "release": self.way.target.release,
            "migrations_kept": list(self.way.moved.names) if self.way.past is None else [],
            "restored": self.way.past.told() if self.way.past else None,
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
        DeployError: those of `way.look` before anything is changed; LOCK_HELD; DEPLOYMENT_FAILED; UNHEALTHY.
    """
    workspace = site.workspace
    way.look(site, wishes)
    with site.locked(force_lock):
        found = way.look(site, wishes)  # again: somebody may have held the lock until now
        _told(found)
        if found.past:
            past.make(site, found.past)
        app = _changed(site, found)
        more = {"of": found.target.deployment, **({"restored": found.past.told()} if found.past else {})}
        done = deployment.deploy(site, app, found.wanted, message=message, kind="rollback", more=more)
        report = operate.check(workspace, workspace.apps.get(app.name), wait)
        if failure := report.failure():
            records.amend(workspace, site.root, done.id, outcome="UNHEALTHY", error=failure.message)
            raise failure
    if found.past:
        events.emit(events.Note(_stays(site, found, found.past)))
    return Done(found, done.id, done.new, report)


def _told(found: Way) -> None:
    target = found.target
    pin = f", MetaMCP {target.pin}" if target.pin else ""
    events.emit(
        events.Note(
            f"Goes back to deployment {target.deployment} of {target.at}: release {target.release}{pin}."
        )
    )
    if found.moved and not found.past:
        names = ", ".join(found.moved.names) or "migrations that were not recorded"
        text = f"The database keeps {names}, which this release does not know: it runs on the newer schema."
        events.emit(events.Warned(text, "If something is missing, deploy the newer release again."))


def _changed(site: Site, found: Way) -> App:
    """The app with the resources that the deployment ran with."""
    from metamcp_deploy.workspace import poll

    workspace, name = site.workspace, found.app.name
    if not found.changes:
        return found.app
    workspace.apps.update(name, found.changes)

    def look() -> tuple[str, str] | None:
        state = workspace.apps.update_state(name)
        return None if state[0] == "IN_PROGRESS" else state

    state, message = poll(
        look,
        what=f"the change of app {name}",
        within=site.project.settings.waits.change,
        hint="Run the same command again: it goes on from there.",
        clock=workspace.clock,
    )
    if state == "FAILED":
        raise DeployError(
            Code.REQUEST_REFUSED,
            f"The app {name} could not get back the resources it ran with: {message or 'no reason is given'}.",
            hint="Is a secret or a database gone that it had then? metamcp-deploy history -o json names none of their "
            "values; the deployment's record in the workspace names them.",
            detail=", ".join(r["name"] for r in found.wanted.resources),
        )
    events.emit(events.Changed("changed", "app", f"{name} ({', '.join(sorted(found.changes))})"))
    return workspace.apps.get(name)


def _stays(site: Site, found: Way, branch: past.Past) -> str:
    """What to know after the data went back."""
    options, short = standing.called(site.project), branch.branch.rsplit("/", 1)[1]
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
    """For pipelines: where a deployment in the block fails or is not healthy, the good one before it runs again.

    Raises:
        DeployError: the failure, and what became of the way back.
    """
    try:
        yield
    except DeployError as e:
        if not wanted or e.code not in _FAILURES:
            raise
        raise _after(project, e) from e


def _after(project: Project, failure: DeployError) -> DeployError:
    site = connection.site(project)
    newest = next(iter(records.newest(site.workspace, site.root, 1)), None)
    if newest is None or newest.outcome == "SUCCEEDED":
        return failure  # nothing was deployed that could be taken back
    if newest.outcome == "IN_PROGRESS":
        records.amend(site.workspace, site.root, newest.deployment, outcome="FAILED", error=failure.message)
    events.emit(events.Warned(failure.message, "Rolling back, as --rollback-on-failure asks for."))
    text = f"instead of {newest.deployment}, which failed"
    try:
        done = run(site, Wishes(keep_database=True), message=text)
    except DeployError as e:
        return DeployError(
            failure.code,
            f"{failure.message} And the rollback did not work: {e.message}",
            hint=f"{failure.hint} For the rollback: {e.hint}",
            detail="\n".join(d for d in (failure.detail, e.detail) if d) or None,
        )
    serving = done.way.target
    return DeployError(
        failure.code,
        f"{failure.message} Release {serving.release} of {serving.at} was deployed again (deployment "
        f"{done.deployment}) and is healthy.",
        hint=failure.hint,
        detail=failure.detail,
    )
