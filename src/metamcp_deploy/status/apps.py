"""Every app of a workspace that this tool deployed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.deployments import access, records
from metamcp_deploy.errors import DeployError
from metamcp_deploy.health import Status
from metamcp_deploy.status.asking import Asked
from metamcp_deploy.target import desired, locate

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

_HEALTH_SECONDS = 5.0
_AT_ONCE = 16
_RELEASE = re.compile(r"/releases/([0-9a-f]{16})/?$")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Listed:
    """One app.

    Attributes:
        app: as the workspace describes it.
        root: where its releases and records are; None where nothing of this tool was deployed to it yet.
        health: what it answers, or `unknown`.
        why: the reason, where that is unknown.
    """

    app: App
    root: str | None
    health: str
    why: str = ""

    @property
    def healthy(self) -> bool:
        """Whether it serves."""
        return self.health == Status.HEALTHY

    @property
    def release(self) -> str:
        """Id of the release that runs; empty without one."""
        found = _RELEASE.search(self.app.active.source_code_path if self.app.active else "")
        return found[1] if found else ""

    @property
    def at(self) -> str:
        """When that deployment began (RFC 3339); empty where that is not known."""
        began = self.app.active.create_time if self.app.active else None
        return "" if began is None else records.stamp(began)

    @property
    def by(self) -> str:
        """Who deployed it."""
        return self.app.active.creator if self.app.active else ""

    def as_dict(self) -> Mapping[str, Any]:
        """For `-o json`."""
        return {
            "app": self.app.name,
            "url": self.app.url,
            "root": self.root,
            "compute": self.app.compute,
            "state": self.app.state,
            "release": self.release or None,
            "deployed": self.at or None,
            "by": self.by or None,
            "health": self.health,
            "why": self.why,
        }


def look(workspace: Workspace) -> list[Listed]:
    """All that this tool deployed or made, by name; one request, and three to each app that runs.

    An app is one of ours by the place that its code came from, or by what its description says.
    """
    ours = [app for app in workspace.apps.all() if locate.root_of(app) or desired.MARK in _description(app)]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="status") as pool:
        return list(pool.map(lambda app: _listed(workspace, app), sorted(ours, key=lambda app: app.name)))


def _listed(workspace: Workspace, app: App) -> Listed:
    asked = Asked("the app", lambda: access.check(workspace, app), _HEALTH_SECONDS)
    try:
        return Listed(app, locate.root_of(app), asked.result().status.value)
    except DeployError as e:
        return Listed(app, locate.root_of(app), UNKNOWN, e.message)


def _description(app: App) -> str:
    return str(app.raw.get("description") or "")
