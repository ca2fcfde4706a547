"""The stages in their order: running them from the first that needs to, and planning without acting."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages import app_deploy, build, bundle_deploy, from_file, patch, prepare
from metamcp_deploy.target import session

if TYPE_CHECKING:
    from metamcp_deploy.health import Report


class Stage(Protocol):
    """What the module of a stage declares.

    Attributes:
        NAME: as commands, records and events call it.
        REMOTE: whether it works in the workspace.
        Wishes: a frozen class of what a run may ask of it beyond the settings.
    """

    NAME: str
    REMOTE: bool
    Wishes: type[Any]

    def step(self, project: Project, wishes: Any) -> pipeline.Step:
        """The stage as data; earlier stages must have run."""


PIPELINE: tuple[Stage, ...] = (prepare, patch, build, bundle_deploy, app_deploy)
ARCHIVED: tuple[Stage, ...] = (from_file, bundle_deploy, app_deploy)  # the bundle comes out of a file
REMOTE = tuple(stage for stage in PIPELINE if stage.REMOTE)


@dataclass(frozen=True)
class Planned:
    """What a stage would do: `reason` is why it would run, None when it is up to date."""

    stage: str
    reason: str | None


def asked(stage: Stage, wishes: Iterable[object]) -> Any:
    """What is asked of a stage: its own among the wishes, else nothing."""
    return next((wish for wish in wishes if isinstance(wish, stage.Wishes)), stage.Wishes())


def run(
    project: Project, stages: Sequence[Stage] = PIPELINE, wishes: Sequence[object] = ()
) -> list[pipeline.Outcome]:
    """Runs stages in their order, each only when it has a reason to.

    Args:
        project: with the target's settings.
        stages: modules of stages.
        wishes: for some stages, one of its `Wishes` each.

    Raises:
        DeployError: EXTRA_MISSING before anything runs, where the last ones would need the extra; those of the stages.
    """
    remote = any(stage.REMOTE for stage in stages)
    if project.settings.embedded and remote:
        from metamcp_deploy import local

        local.need_extra()
    outcomes = []
    with session.shared():
        for stage in stages:
            step = stage.step(project, asked(stage, wishes))
            outcomes.append(pipeline.execute(step, project.state))
        if remote:
            session.swept(project)
    return outcomes


def plan(
    project: Project, stages: Sequence[Stage] = PIPELINE, wishes: Sequence[object] = ()
) -> list[Planned]:
    """Why each stage would run or not, without acting. After the first that would run, the later ones follow it."""
    planned: list[Planned] = []
    for stage in stages:
        if (before := next((p for p in planned if p.reason), None)) is not None:
            planned.append(Planned(stage.NAME, f"follows {before.stage}"))
        else:
            step = stage.step(project, asked(stage, wishes))
            planned.append(Planned(stage.NAME, pipeline.why(step, project.state)))
    return planned


def healthy(project: Project, wait: float) -> Report:
    """The last word of a deployment: the app's health, waited for.

    Raises:
        DeployError: UNHEALTHY, with what was asked and answered; DEPLOYMENT_REPLACED.
    """
    from metamcp_deploy.deployments import access
    from metamcp_deploy.knowledge.place import Place

    events.emit(events.StageStarted("health", "proves that it serves"))
    started = time.monotonic()
    report = access.healthy(project, wait)
    if failure := report.failure(Place.of(project)):
        _unhealthy(project, failure)
        raise failure
    _still_ours(project)
    events.emit(events.StageFinished("health", time.monotonic() - started, f"{report.status} {report.url}"))
    return report


def _unhealthy(project: Project, failure: DeployError) -> None:
    """Where this run began a deployment, its record says how that ended: a rollback does not go back to it."""
    from metamcp_deploy.deployments import records

    with session.shared() as this_run:
        if this_run.deployments:
            site = session.site(project)
            kept = {"outcome": "UNHEALTHY", "error": failure.message}
            records.amend_by_id(site, this_run.deployments[-1], **kept)


def _still_ours(project: Project) -> None:
    """What is healthy is the deployment that this run began, where it began one."""
    from metamcp_deploy.deployments import rollout

    settings = project.settings
    with session.shared() as this_run:
        if this_run.deployments:
            begun = this_run.deployments[-1]
            rollout.still_active(session.connect(project), settings.app.name, begun)


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
    project.make_build()
    with (project.build / ".lock").open("a+", errors="replace") as lock:
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
