"""The stage `app-deploy`: deploys the uploaded release with the target's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from metamcp_deploy import events, pipeline
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.pipeline import Flag
from metamcp_deploy.stages.bundle_deploy import ForceLock

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project
    from metamcp_deploy.converge.part import Context
    from metamcp_deploy.converge.parts.deployment import DeploymentPart
    from metamcp_deploy.target.desired import Desired
    from metamcp_deploy.target.site import Site

NAME, REMOTE = "app-deploy", True


Message = Annotated[str | None, Flag(("-m", "--message"), "Kept in the deployment's record.")]


@dataclass(frozen=True)
class Wishes:
    """What a run asks of this stage beyond the settings.

    Attributes:
        redeploy: deploy although release and settings are those that run.
        message: kept in the deployment's record.
        force_lock: take the target's lock although somebody holds it.
        release: id, or its first digits, of a release in the workspace; None for the one that was sent last.
    """

    redeploy: Annotated[bool, Flag(("--redeploy",), "Deploy although nothing changed.")] = False
    message: Message = None
    force_lock: ForceLock = False
    release: Annotated[
        str | None,
        Flag(("--release",), "An earlier release in the workspace, with the settings of now.", metavar="ID"),
    ] = None


def step(project: Project, wishes: Wishes | None = None) -> pipeline.Step:
    """The stage for this project."""
    return pipeline.Step(
        name=NAME,
        inputs={},
        params={"target": project.settings.target},
        outputs=(),
        run=lambda: _run(project, wishes or Wishes()),
        summary=lambda facts: f"release {facts['release']} runs as deployment {facts['deployment']}",
        converges=True,
    )


def _run(project: Project, asked: Wishes) -> pipeline.Facts:
    from metamcp_deploy.config.rules import LOCKED_OUT_HINT, locked_out
    from metamcp_deploy.converge.parts.deployment import DeploymentPart
    from metamcp_deploy.target import protection, session, writers

    protection.allow(project)
    if text := locked_out(project.settings):
        events.emit(events.Warned(text, LOCKED_OUT_HINT))
    sent = None if asked.release else _bundle(project)
    with session.shared() as this_run:
        site = session.site(project, session.connect(project, start=True))
        wanted = _named(site, asked.release) if asked.release else _sent(site, sent or {})
        known = this_run.converged.pop(site.root, None) if sent else None
        desired = known.desired if known else _desired(site, sent)

        def look(context: Context) -> DeploymentPart:
            trusted = asked.release or _built(project)
            part = DeploymentPart(context, wanted, asked.redeploy, asked.message, trusted)
            part.look()
            return part

        part = look(known or _looked(site, desired, wanted))
        if any(change.differs for change in part.changes()):
            alone = known is not None and site.root in this_run.roots  # nobody else has worked here since
            if not alone:
                writers.allow(site)
            with session.locked(site, asked.force_lock):
                part = part if alone else look(_looked(site, desired, wanted))
                part.apply()
        else:
            part.keep()
    return {
        "target": project.settings.target,
        "app": desired.app.name,
        "url": part.app.url,
        "release": wanted,
        "deployment": part.done.id,
        "record": part.done.record,
    }


def _built(project: Project) -> str | None:
    """The SHA-256 of the release.json that `build` made here."""
    facts = (pipeline.recorded(project.state, "build") or {}).get("facts") or {}
    found: str | None = (facts.get("contents") or {}).get("app/release.json")
    return found


def _named(site: Site, release: str) -> str:
    """An earlier release, by the first digits of its id."""
    from metamcp_deploy.release import releases
    from metamcp_deploy.target import protection

    found = releases.named(site.workspace, site.root, release)
    protection.of_release(site.project, releases.about(site.workspace, site.root, found))
    return found


def _sent(site: Site, bundle: pipeline.Facts) -> str:
    """The release that `bundle-deploy` sent to this workspace."""
    if bundle["host"] != site.workspace.host:
        why = f"the last one went to {bundle['host']}, not to {site.workspace.host}"
        raise _no_bundle(site.project, why)
    return str(bundle["release"])


def _desired(site: Site, bundle: pipeline.Facts | None) -> Desired:
    """The settings of now; those of an earlier release are not in the bundle, and need none."""
    from metamcp_deploy.target import databricks_yml

    read = databricks_yml.read if bundle else databricks_yml.current
    return read(site.project, site.workspace.me)


def _looked(site: Site, desired: Desired, release: str) -> Context:
    """What a deployment builds on, asked of the workspace.

    Raises:
        DeployError: STAGE_MISSING, where something of it is not (or no longer) there; CONFIG_CONFLICT, where a
            rollback took the data back.
    """
    from metamcp_deploy.converge import guard
    from metamcp_deploy.converge.part import Context
    from metamcp_deploy.converge.parts.app import fields as app_fields
    from metamcp_deploy.deployments import records
    from metamcp_deploy.release import releases

    workspace, project, name = site.workspace, site.project, desired.app.name
    context = Context(site, desired)
    context.app = app = workspace.apps.find(name)
    if app is None or app.compute == "DELETING":
        raise _no_bundle(project, f"there is no app {name} in {workspace.host} (any more)")
    if not releases.is_complete(workspace, site.root, release):
        raise _no_bundle(project, f"release {release} is not (or no longer whole) in {site.root}")
    guard.hold(site, app, desired.app.resources, desired.target)
    if lacking := app_fields.unattached(app, desired.app):
        raise _no_bundle(
            project, f"the app has no resource {', no resource '.join(lacking)} as the settings say"
        )
    if app.active is not None:
        context.record = records.find(site, app.active.id)
    return context


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
