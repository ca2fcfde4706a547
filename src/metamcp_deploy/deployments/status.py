"""One look at a deployed app: compute, deployment, release, database, lock, health. Only reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy import health
from metamcp_deploy.deployments import access, history, records
from metamcp_deploy.deployments.history import Entry
from metamcp_deploy.target import databases
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App, Deployment


@dataclass(frozen=True)
class Status:
    """How an app is.

    Attributes:
        target: its name in the configuration; None where only the app is known.
        app: as the workspace describes it.
        host: of the workspace.
        root: where releases and records are.
        running: the deployment that runs; None without one.
        pending: one that is under way.
        database: its name in the workspace; empty for an external one.
        lock: who holds the target's lock and since when, in words; None when it is free.
        health: what the app answers.
    """

    target: str | None
    app: App
    host: str
    root: str
    running: Entry | None
    pending: Entry | None
    database: str
    lock: str | None
    health: health.Report

    @property
    def healthy(self) -> bool:
        """Whether the app serves."""
        return self.health.status is health.Status.HEALTHY

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "target": self.target,
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
        }


def look(site: Site) -> Status:
    """Looks once, at all things at the same time.

    Raises:
        DeployError: NOT_FOUND without the app; those of the login.
    """
    from metamcp_deploy.workspace import lock

    workspace, settings = site.workspace, site.project.settings
    app = workspace.apps.get(settings.app.name)
    with ThreadPoolExecutor(4, thread_name_prefix="status") as pool:
        asked = pool.submit(access.check, workspace, app)
        held = pool.submit(lock.holder, workspace.files, site.root)
        entries = [pool.submit(_entry, site, app, one) for one in (app.active, app.pending)]
        return Status(
            target=None if site.project.bare else settings.target,
            app=app,
            host=workspace.host,
            root=site.root,
            running=entries[0].result(),
            pending=entries[1].result(),
            database=databases.attached(app.resources).identity,
            lock=held.result(),
            health=asked.result(),
        )


def _entry(site: Site, app: App, deployment: Deployment | None) -> Entry | None:
    """What is known of a deployment, by its record where this tool made it."""
    from metamcp_deploy.workspace.apps import DEPLOYMENT_ENDED

    if deployment is None or (deployment is app.pending and deployment.state in DEPLOYMENT_ENDED):
        return None
    found = records.find(site, deployment.id)
    return history.merged(app, [deployment], [found] if found else [])[0]
