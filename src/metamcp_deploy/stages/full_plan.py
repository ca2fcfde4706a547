"""Plans all stages: why the local ones would run, and what would change in the workspace. Only reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import events, pipeline, resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.converge.part import Context, Part
from metamcp_deploy.converge.parts.deployment import DeploymentPart
from metamcp_deploy.converge.target import Target
from metamcp_deploy.deployments import moved_pin
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import Action, Change, Plan
from metamcp_deploy.release import releases
from metamcp_deploy.stages import app_deploy, bundle_deploy, deploy, from_file, prepare
from metamcp_deploy.stages.deploy import Planned, Stage
from metamcp_deploy.target import databricks_yml, session, writers
from metamcp_deploy.target.site import Site
from metamcp_deploy.workspace import Workspace


@dataclass(frozen=True)
class FullPlan:
    """What stages would do.

    Attributes:
        stages: why each local stage would run.
        plan: of the workspace; None where no remote stage was asked for, or the embedded workspace is stopped.
        why: in words, why a plan of the workspace is missing; empty where it is not.
    """

    stages: tuple[Planned, ...]
    plan: Plan | None = None
    why: str = ""

    @property
    def differs(self) -> bool:
        """Whether anything would be done."""
        return bool(self.why) or any(s.reason for s in self.stages) or bool(self.plan and self.plan.differs)

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`: `stages`, and what a plan has, or `note`, why there is none."""
        known = self.plan.as_dict() if self.plan else {"note": self.why} if self.why else {}
        return {"stages": [vars(s) for s in self.stages], **known, "differs": self.differs}

    def lines(self) -> list[str]:
        """For people."""
        rows = [
            f"{s.stage:<14} {f'would run: {s.reason}' if s.reason else 'up to date'}" for s in self.stages
        ]
        remote = self.plan.lines() if self.plan else [self.why] if self.why else []
        return [*rows, *([""] if rows and remote else []), *remote]


def look(project: Project, stages: Sequence[Stage], wishes: Sequence[object] = ()) -> FullPlan:
    """What these stages would do; `wishes` as of `deploy.run`.

    Raises:
        DeployError: those of the login and of the parts that look.
    """
    local = [stage for stage in stages if not stage.REMOTE]
    remote = [stage for stage in stages if stage.REMOTE]
    planned = tuple(deploy.plan(project, local, wishes))
    if not remote:
        return FullPlan(planned)
    try:
        workspace = session.connect_or_unmade(project)
    except DeployError as e:
        if e.code is not Code.LOCAL_DOWN:
            raise
        return FullPlan(planned, why=f"{e.message} What is in it is not known. Next: {e.hint}")
    archive = deploy.asked(from_file, wishes)
    with release_to_send(project, archive, any(p.reason for p in planned)) as release:
        return FullPlan(planned, _remote(project, remote, wishes, release, workspace))


@contextmanager
def release_to_send(
    project: Project, archive: from_file.Wishes, building: bool
) -> Iterator[releases.Release | None]:
    """The release that would be sent: the built one, or that of a file; None where it has to be built first."""
    if archive.source:
        from metamcp_deploy.release import artifact

        with tempfile.TemporaryDirectory(prefix="metamcp-plan-") as folder:
            yield artifact.release(project, archive.source, Path(folder), archive.held)
        return
    yield None if building or pipeline.recorded(project.state, "build") is None else releases.built(project)


def _remote(
    project: Project,
    stages: Sequence[Stage],
    wishes: Sequence[object],
    release: releases.Release | None,
    workspace: Workspace,
) -> Plan:
    bundle: bundle_deploy.Wishes = deploy.asked(bundle_deploy, wishes)
    app: app_deploy.Wishes = deploy.asked(app_deploy, wishes)
    with session.shared():
        site = session.site(project, workspace)
        desired = databricks_yml.current(project, site.workspace.me)
        context = Context(site, desired, bundle.adopt)
        events.emit(events.Progress(f"looks at the target {desired.target}"))
        context.app = site.workspace.apps.find(desired.app.name)
        target = Target(context, release)
        target.look()
        chosen = releases.named(site.workspace, site.root, app.release) if app.release else None
        deployment = DeploymentPart(context, chosen or (release.id if release else None), app.redeploy)
        deployment.look()
        if not app.release:
            _report_moved(project, context.record, release)
        parts: list[Part] = []
        if bundle_deploy in stages:
            parts += target.parts
        if app_deploy in stages:
            parts.append(deployment)
        shown = () if project.settings.embedded else _writers(site)
    return Plan((*shown, *(change for part in parts for change in part.changes())))


def _report_moved(project: Project, running: Record | None, release: releases.Release | None) -> None:
    """Says that the tag of what runs stands for another commit now: of the built release, or before one is built."""
    if release is not None:
        about = resources.parsed_json(release.files["release.json"].read_bytes())
    elif project.bare or not moved_pin.same_release(running, *prepare.origin(project)):
        return
    else:
        url, ref = prepare.origin(project)
        commit = prepare.commit_of(project)
        about = {"upstream": {"url": url, "ref": ref, "commit": commit}} if commit else {}
    moved_pin.report(running, about)


def _writers(site: Site) -> tuple[Change, ...]:
    """Who else may write to the root; nothing where nobody may."""
    found = writers.look(site.workspace, site.root)
    return () if found.others == () else (Change(Action.CHECK, "root folder", found.path, "", str(found)),)
