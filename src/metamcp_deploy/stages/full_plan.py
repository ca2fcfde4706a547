"""Plans all stages: why the local ones would run, and what would change in the workspace. Only reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.converge.part import Context, Part
from metamcp_deploy.converge.parts.deployment import DeploymentPart
from metamcp_deploy.converge.target import Target
from metamcp_deploy.plan import Plan
from metamcp_deploy.release import releases
from metamcp_deploy.stages import deploy
from metamcp_deploy.stages.deploy import Planned, Wishes
from metamcp_deploy.target import databricks_yml, session

REMOTE = ("bundle-deploy", "app-deploy")


@dataclass(frozen=True)
class Outlook:
    """What stages would do.

    Attributes:
        stages: why each local stage would run.
        plan: of the workspace; None where no remote stage was asked for, or there is no workspace yet.
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


def look(project: Project, stages: Sequence[str], wishes: Wishes) -> Outlook:
    """What these stages would do.

    Raises:
        DeployError: those of the login and of the parts that look.
    """
    local = [stage for stage in stages if stage not in REMOTE]
    remote = [stage for stage in stages if stage in REMOTE]
    planned = tuple(deploy.plan(project, local, wishes))
    if not remote:
        return Outlook(planned)
    if project.settings.embedded and not _runs(project):
        return Outlook(
            planned,
            why="The embedded workspace does not run: what is in it is not known. `local up` starts it.",
        )
    with _release(project, wishes, any(p.reason for p in planned)) as release:
        return Outlook(planned, _remote(project, remote, wishes, release))


def _runs(project: Project) -> bool:
    from metamcp_deploy import local

    return local.running(project) is not None


@contextmanager
def _release(project: Project, wishes: Wishes, building: bool) -> Iterator[releases.Release | None]:
    """The release that would be sent: the built one, or that of a file; None where it has to be built first."""
    if wishes.source:
        from metamcp_deploy.release import artifact

        with tempfile.TemporaryDirectory(prefix="metamcp-plan-") as folder:
            yield artifact.release(project, wishes.source, Path(folder))
        return
    yield None if building or pipeline.recorded(project.state, "build") is None else releases.built(project)


def _remote(
    project: Project, stages: Sequence[str], wishes: Wishes, release: releases.Release | None
) -> Plan:
    with session.shared():
        site = session.site(project)
        desired = databricks_yml.current(project, site.workspace.me)
        context = Context(site, desired, wishes.adopt)
        events.emit(events.Progress(f"looks at the target {desired.target}"))
        context.app = site.workspace.apps.find(desired.app.name)
        target = Target(context, release)
        target.look()
        chosen = releases.named(site.workspace, site.root, wishes.release) if wishes.release else None
        deployment = DeploymentPart(context, chosen or (release.id if release else None), wishes.redeploy)
        deployment.look()
        parts: list[Part] = []
        if "bundle-deploy" in stages:
            parts += target.parts
        if "app-deploy" in stages:
            parts.append(deployment)
    return Plan(tuple(change for part in parts for change in part.changes()))
