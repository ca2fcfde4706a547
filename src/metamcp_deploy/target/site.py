"""A target's place in its workspace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App


@dataclass(frozen=True)
class Site:
    """A target's place in its workspace.

    Attributes:
        project: with the target's settings.
        workspace: logged in.
        root: folder of releases, records and state.
        app: as the workspace described it when its place was looked up by it; None where the settings name the place.
    """

    project: Project
    workspace: Workspace
    root: str
    app: App | None = field(default=None, compare=False)


def root(settings: Settings, user: str) -> str:
    """Where releases, records and the lock of the target live: the official command line's place, unless set."""
    stated = settings.workspace.root_path
    return (stated or f"/Workspace/Users/{user}/.bundle/{settings.app.name}/{settings.target}").rstrip("/")
