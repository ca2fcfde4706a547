"""The workspace of a target: logged in, and compared with what the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace


def connect(project: Project) -> Workspace:
    """Logs in to the target's workspace; the embedded one is started when it is not there.

    Raises:
        DeployError: HOST_MISMATCH, AUTH_FAILED, WORKSPACE_UNREACHABLE; what `local.up` raises.
    """
    from metamcp_deploy.network import Network
    from metamcp_deploy.workspace import Workspace

    settings = project.settings
    network = Network.of(settings.network, kept=project.certificates)
    if not settings.embedded:
        return Workspace.connect(settings, network)
    from metamcp_deploy import local

    running = local.up(project)
    return Workspace.connect(
        settings,
        network,
        host=running.url,
        client_id=running.client_id,
        client_secret=running.client_secret,
    )


def root(settings: Settings, user: str) -> str:
    """Where releases, records and the lock of the target live: the official command line's place, unless set."""
    stated = settings.workspace.root_path
    return (stated or f"/Workspace/Users/{user}/.bundle/{settings.app.name}/{settings.target}").rstrip("/")
