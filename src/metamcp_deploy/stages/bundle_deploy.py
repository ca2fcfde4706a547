"""The stage `bundle-deploy`: database, secrets, app and permissions exist, and the release is in the workspace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from metamcp_deploy import pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages import connection, protection, provision, releases

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace


def step(project: Project, *, force_lock: bool = False) -> pipeline.Step:
    """Describes the stage.

    Args:
        project: with the target's settings.
        force_lock: take the target's lock although somebody holds it.
    """
    return pipeline.Step(
        name="bundle-deploy",
        inputs={},
        params={"target": project.settings.target},
        outputs=(),
        run=lambda: _run(project, force_lock),
        summary=lambda facts: f"release {facts['release']} is in {facts['host']}, app at {facts['url']}",
        converges=True,
    )


def _run(project: Project, force_lock: bool) -> pipeline.Facts:
    settings = project.settings
    release = releases.built(project)
    protection.allow(project)
    site = connection.site(project)
    workspace, root = site.workspace, site.root
    with site.locked(force_lock):
        _no_other_owner(workspace, root, settings)
        provision.database(workspace, settings)
        # Before the app: the platform refuses a resource that names a secret which is not there.
        provision.secret_values(workspace, project)
        app = provision.app(workspace, settings, root)
        provision.permissions(workspace, settings)
        path = releases.send(workspace, root, release)
    return {
        "target": settings.target,
        "host": workspace.host,
        "app": app.name,
        "url": app.url,
        "principal": app.principal,
        "root": root,
        "release": release.id,
        "release_path": path,
    }


def _no_other_owner(workspace: Workspace, root: str, settings: Settings) -> None:
    """Stops where the official command line manages the same resources from the same root: the two would fight."""
    for name in ("terraform.tfstate", "resources.json"):
        content = workspace.files.read(f"{root}/state/{name}")
        if content is None:
            continue
        try:
            same = settings.app.name in _texts(json.loads(content))
        except ValueError:
            same = True  # cannot be told apart
        if same:
            raise DeployError(
                Code.ALREADY_EXISTS,
                f"{root}/state/{name} says that `databricks bundle deploy` manages the app {settings.app.name} from "
                "this root. Two owners would undo each other's changes.",
                hint="Go on with one of the two: set another workspace.root_path or app.name, or hand the app over "
                "with `databricks bundle deployment unbind` and delete that file.",
            )


def _texts(value: Any) -> set[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        value = list(value.values())
    return set().union(*(_texts(v) for v in value)) if isinstance(value, list) else set()
