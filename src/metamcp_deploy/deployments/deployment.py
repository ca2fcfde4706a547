"""A release with its environment, deployed, followed until it runs, and recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events
from metamcp_deploy.deployments import (
    deploy_intent,
    migrations,
    moved_pin,
    pruning,
    readiness,
    records,
    rollout,
)
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import checking, releases
from metamcp_deploy.target import locate, session
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App, Deployment


@dataclass(frozen=True)
class Done:
    """A deployment that runs: its id, the path of its record, and whether it is new."""

    id: str
    record: str
    new: bool


def deploy(
    site: Site,
    app: App,
    wanted: records.Wanted,
    *,
    message: str | None = None,
    kind: str = "deploy",
    redeploy: bool = False,
    more: Mapping[str, Any] | None = None,
    trusted: str | None = None,
) -> Done:
    """Makes the app run what is wanted, unless it does; goes on with such a deployment that is under way.

    Args:
        site: of the target; its lock is held.
        app: as just looked at.
        wanted: release, environment and resources.
        message: kept in the record.
        kind: of the deployment, kept in the record: `deploy`, `rollback`, ...
        redeploy: deploy although that runs.
        more: further fields of the record.
        trusted: as `checking.checked` takes it.

    Raises:
        DeployError: RELEASE_ALTERED, RELEASE_UNPROVEN; DEPLOYMENT_FAILED with the last log lines, DEPLOYMENT_REPLACED,
            DEADLINE, REQUEST_REFUSED.
    """
    workspace = site.workspace
    # A record may name another path; only the one in this root is checked.
    wanted = replace(wanted, source_code_path=releases.path_of(site.root, wanted.release))
    app = rollout.active_compute(workspace, app)
    if app.pending is not None and not redeploy and (found := _ours(site, app, app.pending, wanted)):
        # An interrupted run began it: go on where that stopped.
        _answers_for(app.pending.id)
        done = _finished(site, app.name, app.pending, found)
        pruning.after_deployment(site)
        return done
    app = rollout.idle(workspace, app.name)
    if not redeploy and (kept := running(site, app, wanted)):
        return kept
    about = check(site, wanted.release, trusted)
    if kind == "deploy" and app.deployed:  # a rollback has reported it
        before = next(iter(records.newest(site, 1)), None)
        moved_pin.report(before, about)
        migrations.report(site, before, wanted, about)
    draft = records.draft(site.project, workspace, wanted, about, kind=kind, message=message, more=more)
    health = readiness.check(site.project.settings.app.health_check, about)
    deployment = rollout.begin(workspace, app.name, wanted, deploy_intent.keep(site, app, draft), health)
    _answers_for(deployment.id)
    events.emit(events.Changed("created", "deployment", deployment.id))
    with _begun(site, app, deployment):
        record = records.write(site, records.of(draft, deployment.id, deployment.create_time))
        done = _finished(site, app.name, deployment, record)
    if app.deployed:
        pruning.after_deployment(site)
    return done


def check(site: Site, release: str, trusted: str | None = None) -> dict[str, Any]:
    """The release.json of a release in the workspace, after it was held against the id.

    Raises:
        DeployError: RELEASE_ALTERED, RELEASE_UNPROVEN.
    """
    called = locate.called(site.project)
    hint = (
        f"`metamcp-deploy deploy {called}` builds and deploys the present format. To run this one as it is, name its "
        f"id: metamcp-deploy app-deploy --release {release} {called}; "
        f"or metamcp-deploy rollback --id {release} {called}"
    )
    return checking.checked(site.workspace, site.root, release, trusted, hint)


def running(site: Site, app: App, wanted: records.Wanted) -> Done | None:
    """The deployment of a running app, when it is what is wanted by the record that this tool wrote of it."""
    if app.active is None or app.state != "RUNNING":
        return None
    record = _ours(site, app, app.active, wanted)
    if record is None or not records.proves(site, record):
        return None
    if record.outcome == "IN_PROGRESS":  # it succeeded after its run was interrupted
        _answers_for(app.active.id)
        _ran_the_release(site, app.name, app.active, record)
        records.amend(site, record, outcome="SUCCEEDED")
    events.emit(events.Changed("kept", "deployment", app.active.id))
    return Done(app.active.id, record.path, new=False)


def _answers_for(deployment: str) -> None:
    """This run began a deployment, or goes on for the one that did: how it ends is this run's to record and to undo."""
    with session.shared() as this_run:
        this_run.deployments.append(deployment)


@contextmanager
def _begun(site: Site, app: App, deployment: Deployment) -> Iterator[None]:
    """A lock that is lost in the block was lost after this run's deployment began: the error says so."""
    try:
        yield
    except DeployError as e:
        if e.code is not Code.LOCK_LOST:
            raise
        raise DeployError(
            e.code,
            f"{e.message} Its deployment {deployment.id} of app {app.name} had begun: it may run in place of the other "
            "run's.",
            hint=f"See what runs: metamcp-deploy history {locate.called(site.project)}; once the other run has ended, "
            "deploy again what is to run.",
        ) from e


def _ours(site: Site, app: App, deployment: Deployment, wanted: records.Wanted) -> records.Record | None:
    """The record of a deployment that runs what is wanted; one that was begun and not recorded is recorded."""
    if deployment.source_code_path not in ("", wanted.source_code_path):
        return None
    found = records.find(site, deployment.id) or deploy_intent.recorded(site, app, deployment)
    return found if records.matches(found, wanted) else None


def _finished(site: Site, name: str, deployment: Deployment, record: records.Record) -> Done:
    """Follows a deployment to its end and completes its record."""
    try:
        ended = rollout.follow(site.workspace, name, deployment)
        _ran_the_release(site, name, ended, record)
    except DeployError as e:
        if e.code in (Code.DEPLOYMENT_FAILED, Code.RELEASE_ALTERED):
            records.amend(site, record, outcome="FAILED", error=e.message)
        raise
    records.amend(site, record, outcome="SUCCEEDED")
    return Done(deployment.id, record.path, new=True)


def _ran_the_release(site: Site, name: str, deployment: Deployment, record: records.Record) -> None:
    """Compares the platform's copy with the release; stops an app that runs something else.

    Raises:
        DeployError: RELEASE_ALTERED.
    """
    why = checking.snapshot_difference(site.workspace, deployment, record.release)
    if why is None:
        return
    site.workspace.apps.stop(name)
    called = locate.called(site.project)
    raise DeployError(
        Code.RELEASE_ALTERED,
        f"Deployment {deployment.id} of app {name} ran something else than release {record.release}: {why}. "
        "Somebody changed the release while it was being deployed. The app was stopped.",
        hint="Look in the workspace who may write there. What ran had the app's secrets: renew them (metamcp-deploy "
        f"secrets rotate {called}), then metamcp-deploy deploy {called}",
    )
