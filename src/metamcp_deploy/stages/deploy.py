"""The stages in their order: running them from the first that needs to, and planning without acting."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import session

if TYPE_CHECKING:
    from metamcp_deploy.health import Report

# Stage name → module below `stages` whose `step(project, ...)` describes it. Loaded when needed: some are heavy.
MODULES = {
    "prepare": "prepare",
    "patch": "patch",
    "build": "build",
    "bundle-deploy": "bundle_deploy",
    "app-deploy": "app_deploy",
}
STAGES = tuple(MODULES)
REMOTE = frozenset({"bundle-deploy", "app-deploy"})


@dataclass(frozen=True)
class Wishes:
    """What a run asks of stages beyond the settings.

    Attributes:
        clean: build from nothing.
        redeploy: deploy although release and settings are the same.
        message: kept in the deployment's record.
        force_lock: take the workspace's lock from whoever holds it.
        verify: start the release before it counts as built.
        archive: where to write the bundle as one file, once it is built.
        source: such a file, whose bundle takes the place of `build` and all before it (see `from_file`).
        adopt: take over an app that somebody else made.
        release: id, or its first digits, of a release in the workspace, in place of the one that was sent last.
        verify_upload: read back every file of the release, and compare.
    """

    clean: bool = False
    redeploy: bool = False
    message: str | None = None
    force_lock: bool = False
    verify: bool = True
    archive: Path | None = None
    source: Path | None = None
    adopt: bool = False
    release: str | None = None
    verify_upload: bool = False


@dataclass(frozen=True)
class Planned:
    """What a stage would do: `reason` is why it would run, None when it is up to date."""

    stage: str
    reason: str | None


def step(project: Project, stage: str, wishes: Wishes) -> pipeline.Step:
    """The stage as data; earlier stages must have run."""
    if stage == "build" and wishes.source:
        from metamcp_deploy.release import artifact

        return artifact.step(project, wishes.source)
    make: Callable[..., pipeline.Step] = import_module(f"metamcp_deploy.stages.{MODULES[stage]}").step
    if stage == "build":
        return make(project, clean=wishes.clean, verify=wishes.verify)
    if stage == "bundle-deploy":
        return make(
            project, force_lock=wishes.force_lock, adopt=wishes.adopt, verify_upload=wishes.verify_upload
        )
    if stage == "app-deploy":
        return make(
            project,
            redeploy=wishes.redeploy,
            message=wishes.message,
            force_lock=wishes.force_lock,
            release=wishes.release,
        )
    return make(project)


def run(
    project: Project, stages: Sequence[str] = STAGES, wishes: Wishes | None = None
) -> list[pipeline.Outcome]:
    """Runs stages in their order, each only when it has a reason to.

    Raises:
        DeployError: EXTRA_MISSING before anything runs, where the last ones would need the extra; those of the stages.
    """
    wishes = wishes or Wishes()
    if project.settings.embedded and not REMOTE.isdisjoint(stages):
        from metamcp_deploy import local

        local.need_extra()
    outcomes = []
    with session.shared():
        for stage in stages:
            force = "--clean" if stage == "build" and wishes.clean else None
            outcomes.append(pipeline.execute(step(project, stage, wishes), project.state, force=force))
            if stage == "build" and wishes.archive:
                outcomes[-1] = _archived(project, outcomes[-1], wishes.archive)
        if not REMOTE.isdisjoint(stages):
            session.swept(project)
    return outcomes


def from_file(stages: Sequence[str]) -> list[str]:
    """The stages that are left of these where the bundle comes out of a file: `build` stands for taking it."""
    return ["build", *(stage for stage in stages if stage not in ("prepare", "patch", "build"))]


def _archived(project: Project, outcome: pipeline.Outcome, to: Path) -> pipeline.Outcome:
    from metamcp_deploy.release import artifact

    return replace(outcome, facts={**outcome.facts, "archive": artifact.write(project, to)})


def plan(project: Project, stages: Sequence[str] = STAGES, wishes: Wishes | None = None) -> list[Planned]:
    """Why each stage would run or not, without acting. After the first that would run, the later ones follow it."""
    wishes = wishes or Wishes()
    planned: list[Planned] = []
    for stage in stages:
        if (before := next((p for p in planned if p.reason), None)) is not None:
            planned.append(Planned(stage, f"follows {before.stage}"))
        elif stage == "build" and wishes.clean:
            planned.append(Planned(stage, "--clean"))
        else:
            planned.append(Planned(stage, pipeline.why(step(project, stage, wishes), project.state)))
    return planned


def healthy(project: Project, wait: float) -> Report:
    """The last word of a deployment: the app's health, waited for.

    Raises:
        DeployError: UNHEALTHY, with what was asked and answered.
    """
    from metamcp_deploy.deployments import access

    events.emit(events.StageStarted("health", "proves that it serves"))
    started = time.monotonic()
    report = access.healthy(project, wait)
    if failure := report.failure():
        _unhealthy(project, failure)
        raise failure
    events.emit(events.StageFinished("health", time.monotonic() - started, f"{report.status} {report.url}"))
    return report


def _unhealthy(project: Project, failure: DeployError) -> None:
    """Where this run began a deployment, its record says how that ended: a rollback does not go back to it."""
    from metamcp_deploy.deployments import records

    with session.shared() as this_run:
        if this_run.deployments:
            site = session.site(project)
            kept = {"outcome": "UNHEALTHY", "error": failure.message}
            records.amend(site.workspace, site.root, this_run.deployments[-1], **kept)


def summary(project: Project, outcomes: Sequence[pipeline.Outcome], report: Report) -> dict[str, str]:
    """What a person wants to know when all is done: label → text."""
    ran = [o for o in outcomes if o.ran]
    release = next(o.facts["release"] for o in reversed(outcomes) if "release" in o.facts)
    return {
        "URL": report.url,
        "target": project.settings.target,
        "app": project.settings.app.name,
        "release": str(release),
        "ran": ", ".join(f"{o.stage} {o.seconds:.1f} s" for o in ran) or "nothing",
        "kept": ", ".join(o.stage for o in outcomes if not o.ran) or "nothing",
    }


@contextmanager
def working(project: Project) -> Iterator[None]:
    """Holds the working folder: one run at a time may change `build/`. The system frees it when the process ends.

    Raises:
        DeployError: FOLDER_BUSY, naming the process that holds it.
    """
    project.build.mkdir(parents=True, exist_ok=True)
    with (project.build / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise DeployError(
                Code.FOLDER_BUSY,
                f"Another metamcp-deploy (process {lock.read().strip() or 'unknown'}) works in {project.folder}.",
                hint="Wait for it to end, or use another folder with -C.",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
