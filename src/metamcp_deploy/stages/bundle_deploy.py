"""The stage `bundle-deploy`: creates and changes database, secrets, app and permissions, and uploads the release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from metamcp_deploy import pipeline
from metamcp_deploy.pipeline import Flag

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project

NAME, REMOTE = "bundle-deploy", True
ForceLock = Annotated[bool, Flag(("--force-lock",), "Take the lock from whoever holds it.")]


@dataclass(frozen=True)
class Wishes:
    """What a run asks of this stage beyond the settings.

    Attributes:
        adopt: take over an app that somebody else made.
        force_lock: take the target's lock although somebody holds it.
        verify_upload: hold the release in the workspace against its id, also where nothing is deployed.
    """

    adopt: Annotated[bool, Flag(("--adopt",), "Take over an app of that name that others made.")] = False
    force_lock: ForceLock = False
    verify_upload: Annotated[bool, Flag(("--verify-upload",), "Check the release there against its id.")] = (
        False
    )


def step(project: Project, wishes: Wishes | None = None) -> pipeline.Step:
    """The stage for this project."""
    return pipeline.Step(
        name=NAME,
        inputs={},
        params={"target": project.settings.target},
        outputs=(),
        run=lambda: _run(project, wishes or Wishes()),
        summary=lambda facts: f"release {facts['release']} is in {facts['host']}, app at {facts['url']}",
        converges=True,
    )


def _run(project: Project, asked: Wishes) -> pipeline.Facts:
    from metamcp_deploy.converge import target
    from metamcp_deploy.release import checking, releases, sending
    from metamcp_deploy.target import databricks_yml, protection, session

    release = releases.built(project)
    protection.allow(project)
    with session.shared() as this_run:
        site = session.site(project, session.connect(project, start=True))
        desired = databricks_yml.read(project, site.workspace.me)
        found = target.converged(site, desired, release, adopt=asked.adopt, force_lock=asked.force_lock)
        this_run.converged[site.root] = found
        if asked.verify_upload and checking.difference(site.workspace, site.root, release.id):
            with session.locked(site, asked.force_lock):
                sending.discard(site.workspace, site.root, release.id)
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
