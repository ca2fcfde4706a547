"""The stage `bundle-deploy`: creates and changes database, secrets, app and permissions, and uploads the release."""

from __future__ import annotations

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.converge import target
from metamcp_deploy.release import releases, sending
from metamcp_deploy.target import databricks_yml, protection, session


def step(
    project: Project, *, force_lock: bool = False, adopt: bool = False, verify_upload: bool = False
) -> pipeline.Step:
    """Describes the stage.

    Args:
        project: with the target's settings.
        force_lock: take the target's lock although somebody holds it.
        adopt: take over an app that somebody else made.
        verify_upload: read back every file of the release, and compare.
    """
    return pipeline.Step(
        name="bundle-deploy",
        inputs={},
        params={"target": project.settings.target},
        outputs=(),
        run=lambda: _run(project, force_lock, adopt, verify_upload),
        summary=lambda facts: f"release {facts['release']} is in {facts['host']}, app at {facts['url']}",
        converges=True,
    )


def _run(project: Project, force_lock: bool, adopt: bool, verify_upload: bool) -> pipeline.Facts:
    release = releases.built(project)
    protection.allow(project)
    with session.shared() as this_run:
        site = session.site(project)
        desired = databricks_yml.read(project, site.workspace.me)
        found = target.converged(site, desired, release, adopt=adopt, force_lock=force_lock)
        this_run.converged[site.root] = found
        if verify_upload and sending.altered(site.workspace, site.root, release):
            with session.locked(site, force_lock):
                sending.discard(site.workspace, site.root, release)
    app = found.app
    assert app is not None  # noqa: S101 - converged
    return {
        "target": project.settings.target,
        "host": site.workspace.host,
        "app": app.name,
        "url": app.url,
        "principal": app.principal,
        "root": site.root,
        "release": release.id,
        "release_path": releases.path_of(site.root, release.id),
    }
