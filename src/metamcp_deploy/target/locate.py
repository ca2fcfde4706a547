"""Where an app that is deployed stands: its target's place in the workspace, also where only its name is known."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import session
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App

_RELEASE = re.compile(r"(/.+)/releases/[0-9a-f]{16}/?")


def site(project: Project) -> Site:
    """The target's place in its workspace; with `--app` alone, the place that the app's code was taken from.

    Raises:
        DeployError: NOT_FOUND without such an app; NOT_DEPLOYED, when its code came from elsewhere; those of the login.
    """
    if not project.bare:
        return session.site(project)
    workspace = session.connect(project)
    app = workspace.apps.get(project.settings.app.name)
    root = root_of(app)
    if root is None:
        raise DeployError(
            Code.NOT_DEPLOYED,
            f"The app {app.name} in {workspace.host} runs nothing that metamcp-deploy sent there, so that it does not "
            "tell where its releases and records are.",
            hint="Run the command in the folder of its metamcp.yaml, with -t TARGET instead of --app.",
        )
    return Site(project, workspace, root, app)


def root_of(app: App) -> str | None:
    """The root of the target whose release the app runs, or ran last; None for code from elsewhere."""
    paths = [
        app.active.source_code_path if app.active else "",
        str(app.raw.get("default_source_code_path") or ""),
    ]
    found = (_RELEASE.fullmatch(path) for path in paths)
    return next((match[1] for match in found if match), None)


def called(project: Project) -> str:
    """The options by which a command means the same app again."""
    settings = project.settings
    if not project.bare:
        return f"-t {settings.target}"
    profile = settings.workspace.profile
    return f"--app {settings.app.name}" + (f" -p {shlex.quote(profile)}" if profile else "")
