"""The stage `app-deploy`: the release that `bundle-deploy` sent runs, with the target's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.guarding import LOCKED_OUT_HINT, locked_out
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages import connection, deployment, desired, protection, records, releases

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace


def step(
    project: Project, *, redeploy: bool = False, message: str | None = None, force_lock: bool = False
) -> pipeline.Step:
    """Describes the stage.

    Args:
        project: with the target's settings.
        redeploy: deploy although release and settings are those that run.
        message: kept in the deployment's record.
        force_lock: take the target's lock although somebody holds it.
    """
    return pipeline.Step(
        name="app-deploy",
        inputs={},
        params={"target": project.settings.target},
        outputs=(),
        run=lambda: _run(project, redeploy, message, force_lock),
        summary=lambda facts: f"release {facts['release']} runs as deployment {facts['deployment']}",
        converges=True,
    )


def _run(project: Project, redeploy: bool, message: str | None, force_lock: bool) -> pipeline.Facts:
    protection.allow(project)
    if text := locked_out(project.settings):
        events.emit(events.Warned(text, LOCKED_OUT_HINT))
    bundle = _bundle(project)
    site = connection.site(project)
    workspace, root, name = site.workspace, str(bundle["root"]), project.settings.app.name
    if bundle["host"] != workspace.host:
        raise _no_bundle(project, f"the last one went to {bundle['host']}, not to {workspace.host}")
    with site.locked(force_lock):
        app = workspace.apps.find(name)
        if app is None or app.compute == "DELETING":
            raise _no_bundle(project, f"there is no app {name} in {workspace.host} (any more)")
        if not releases.is_complete(workspace, root, bundle["release"]):
            raise _no_bundle(project, f"release {bundle['release']} is not (or no longer whole) in {root}")
        wanted = records.Wanted(
            release=bundle["release"],
            source_code_path=bundle["release_path"],
            env=[v.as_dict() for v in desired.environment(project.settings, app.url)],
            resources=desired.app_resources(project.settings),
            secrets=_versions(workspace, project),
        )
        done = deployment.deploy(site, app, wanted, message=message, redeploy=redeploy)
    return {
        "target": project.settings.target,
        "app": name,
        "url": app.url,
        "release": bundle["release"],
        "deployment": done.id,
        "record": done.record,
    }


def _versions(workspace: Workspace, project: Project) -> dict[str, int]:
    """When each secret that the app gets was last written: another value needs another start."""
    keys = {project.settings.secrets.better_auth_secret, *project.settings.secret_keys}
    written = workspace.secrets.written(project.settings.secret_scope) or {}
    return {key: written[key] for key in sorted(keys & set(written))}


def _bundle(project: Project) -> pipeline.Facts:
    """Facts of the bundle-deploy that this deployment builds on."""
    facts = pipeline.facts(project.state, "bundle-deploy", "app-deploy")
    target, name = project.settings.target, project.settings.app.name
    if (facts["target"], facts["app"]) != (target, name):
        raise _no_bundle(project, f"the last one was app {facts['app']} of target {facts['target']}")
    built = pipeline.recorded(project.state, "build")
    if built and built["facts"].get("release") != facts["release"]:
        raise _no_bundle(
            project,
            f"release {built['facts'].get('release')} was built since, {facts['release']} is what was sent",
        )
    return facts


def _no_bundle(project: Project, why: str) -> DeployError:
    target = project.settings.target
    return DeployError(
        Code.STAGE_MISSING,
        f"No bundle was deployed for the app {project.settings.app.name} of target {target}: {why}.",
        hint=f"Run `metamcp-deploy bundle-deploy -t {target}` first, or `metamcp-deploy deploy -t {target}`.",
    )
