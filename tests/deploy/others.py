"""Targets that people reach as they would reach one of a real workspace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from tests.deploy.tiny_app import settings


def elsewhere(project: Project, url: str, root: str | None = None, **changes: Any) -> Project:
    """The same target as one of a workspace that is not embedded: whoever runs logs in as themselves."""
    name = project.settings.app.name
    place = {"host": url, **({"root_path": root} if root else {})}
    app = {"name": name, **changes.pop("app", {})}
    there: Settings = settings(embedded=False, target="dev", app=app, workspace=place, **changes)
    return replace(project, settings=there, all_targets=(there,))
