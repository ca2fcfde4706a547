"""One look at a deployed app: compute, release, services, database, health. Only reads; no part is waited for long."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metamcp_deploy import health
from metamcp_deploy.deployments import access, history, launcher_status, records
from metamcp_deploy.deployments.history import Entry
from metamcp_deploy.deployments.launcher_status import Outcome
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.status import data
from metamcp_deploy.status.asking import Asked
from metamcp_deploy.status.data import Data
from metamcp_deploy.status.inside import Inside
from metamcp_deploy.target import databases
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.deployments.records import Record
    from metamcp_deploy.workspace.apps import App, Deployment

SCHEMA_VERSION = 1  # of the JSON document: fields are added within one, never taken away or changed
SECONDS = 5.0  # for each part
_HEALTH_SECONDS = 10.0
_SAYS = {
    Outcome.NOT_AUTHENTICATED: "the app does not accept this login",
    Outcome.NOT_PERMITTED: "the launcher tells it operators and who has CAN_MANAGE on the app",
    Outcome.UNCHECKED: "the launcher could not ask the workspace whose the token is",
    Outcome.OLDER: "the release's launcher tells no status; a newer release does",
    Outcome.SILENT: "the launcher does not answer",
}


@dataclass(frozen=True)
class Status:
    """How an app is.

    Attributes:
        target: its name in the configuration; None where only the app is known.
        identity: who is logged in.
        app: as the workspace describes it.
        host: of the workspace.
        root: where releases and records are.
        running: the deployment that runs; None without one.
        pending: one that is under way.
        database: its name in the workspace; empty for an external one.
        lock: who holds the target's lock and since when, in words; None when it is free.
        health: what the app answers.
        inside: what its launcher knows; None where `unknown` says why.
        data: the database's state; None likewise.
        unknown: part (`inside`, `data`, `record`, `lock`) → why it is not known.
    """

    target: str | None
    identity: str
    app: App
    host: str
    root: str
    running: Entry | None
    pending: Entry | None
    database: str
    lock: str | None
    health: health.Report
    inside: Inside | None = None
    data: Data | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether the app serves."""
        return self.health.status is health.Status.HEALTHY

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "target": self.target,
            "identity": self.identity,
            "host": self.host,
            "root": self.root,
            "app": self.app.name,
            "url": self.app.url,
            "compute": self.app.compute,
            "state": self.app.state,
            "database": self.database or "external",
            "running": self.running and self.running.as_dict(),
            "pending": self.pending and self.pending.as_dict(),
            "lock": self.lock,
            "health": self.health.as_dict(),
            "inside": self.inside and self.inside.as_dict(),
            "data": self.data and self.data.as_dict(),
            "unknown": dict(self.unknown),
        }


def look(site: Site) -> Status:
    """Looks once, at all things at the same time; at most ten requests to the workspace.

    Raises:
        DeployError: NOT_FOUND without the app; those of the login.
    """
    from metamcp_deploy.workspace import lock

    workspace, settings = site.workspace, site.project.settings
    app = site.app or workspace.apps.get(settings.app.name)
    running = Asked("the record of what runs", lambda: _record(site, app.active), SECONDS)
    pending = Asked("the record of what is under way", lambda: _record(site, _under_way(app)), SECONDS)
    held = Asked("the lock", lambda: lock.holder(workspace.files, site.root), SECONDS)
    inside = Asked("the launcher", lambda: _inside(site, app), SECONDS)
    recorded = functools.partial(running.known, {}, "record")
    looked = Asked("the database", lambda: data.look(site, app, recorded, 0.8 * SECONDS), SECONDS)
    answers = Asked("the app", lambda: access.check(workspace, app), _HEALTH_SECONDS)
    unknown: dict[str, str] = {}
    return Status(
        target=None if site.project.bare else settings.target,
        identity=workspace.me,
        app=app,
        host=workspace.host,
        root=site.root,
        running=_entry(app, app.active, running.known(unknown, "record")),
        pending=_entry(app, _under_way(app), pending.known(unknown, "record")),
        database=databases.attached(app.resources).identity,
        lock=held.known(unknown, "lock"),
        health=_health(app, answers),
        inside=inside.known(unknown, "inside"),
        data=looked.known(unknown, "data"),
        unknown=unknown,
    )


def _health(app: App, answers: Asked[health.Report]) -> health.Report:
    """What the app answers; one that hangs is not waited for to the end."""
    try:
        return answers.result()
    except DeployError as e:
        if e.code is not Code.DEADLINE:
            raise
        said = f"no answer within {_HEALTH_SECONDS:g} s"
        check = health.Check("app", "", health.Status.UNREACHABLE, None, answers.seconds, said)
        return health.Report(app.url, health.Status.UNREACHABLE, (check,))


def _inside(site: Site, app: App) -> Inside:
    """What the launcher says.

    Raises:
        DeployError: with the reason, where it says nothing.
    """
    from metamcp_deploy.workspace.apps import NO_PROCESS

    if app.compute in NO_PROCESS:
        raise _unknown(f"the compute is {app.compute}")
    if app.state == "CRASHED" or not app.url:
        raise _unknown("the app has crashed" if app.url else "the app has no URL yet")
    read = launcher_status.read(site.workspace, app.url, 0.8 * SECONDS)
    if read.document is None:
        raise _unknown(_SAYS[read.outcome])
    return Inside(read.document)


def _unknown(why: str) -> DeployError:
    return DeployError(Code.UNHEALTHY, why, hint="Name the cause: metamcp-deploy doctor")


def _under_way(app: App) -> Deployment | None:
    from metamcp_deploy.workspace.apps import DEPLOYMENT_ENDED

    return app.pending if app.pending and app.pending.state not in DEPLOYMENT_ENDED else None


def _record(site: Site, deployment: Deployment | None) -> Record | None:
    return records.find(site, deployment.id) if deployment else None


def _entry(app: App, deployment: Deployment | None, found: Record | None) -> Entry | None:
    """What is known of a deployment, by its record where this tool made it."""
    return history.merged(app, [deployment], [found] if found else [])[0] if deployment else None
