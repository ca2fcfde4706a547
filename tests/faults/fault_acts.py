"""The acts that faults are tried on, as one process runs them; and that process, killed in the middle."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from tests.deploy.tiny_app import write_databricks_yml

HEALTHY_SECONDS = 20.0
KILLED_SECONDS = 120.0


def nothing(project: Project) -> None:
    """No act goes before a first deployment."""


def deploy(project: Project, force_lock: bool = False) -> None:
    """What `deploy` does once the bundle is built.

    Raises:
        DeployError: as the command.
    """
    from metamcp_deploy.stages import app_deploy, bundle_deploy
    from metamcp_deploy.stages import deploy as stages

    with stages.working(project):
        wishes = [bundle_deploy.Wishes(force_lock=force_lock), app_deploy.Wishes(force_lock=force_lock)]
        stages.run(project, stages.REMOTE, wishes)
        stages.healthy(project, HEALTHY_SECONDS)


def same(project: Project) -> Project:
    """With the settings of before."""
    return project


def changed(project: Project) -> Project:
    """With one setting changed."""
    dump = project.settings.model_dump(by_alias=True)
    dump["app"]["env"] = {"LOG_LEVEL": "debug"}
    other = replace(project, settings=Settings.model_validate(dump))
    write_databricks_yml(other)
    return other


def roll_back(project: Project) -> None:
    """The deployment before the running one, again."""
    from metamcp_deploy.rollback import execution, preparation
    from metamcp_deploy.target import session

    with session.shared():
        execution.run(session.site(project), preparation.Wishes(), wait=HEALTHY_SECONDS)


def roll_back_again(project: Project) -> None:
    """The same after it failed or was killed; one that had come to its end is not repeated, as it would go further."""
    from metamcp_deploy.target import session

    try:
        roll_back(project)
    except DeployError as e:
        if e.code is not Code.NOT_FOUND:
            raise
        with session.shared():
            session.swept(project)


def rotate(project: Project) -> None:
    """A new BETTER_AUTH_SECRET."""
    from metamcp_deploy.secrets import rotation
    from metamcp_deploy.target import session

    with session.shared():
        rotation.rotate(session.site(project))


def destroy(project: Project) -> None:
    """All that the target made, data and secrets, too."""
    from metamcp_deploy.destroy import deletion as stage
    from metamcp_deploy.destroy import selection
    from metamcp_deploy.target import session

    with session.shared():
        stage.run(session.site(project), selection.Wishes(database=True, secrets=True))


def deploy_twice(project: Project) -> None:
    """Two deployments, with different settings."""
    deploy(project)
    deploy(changed(project))


@dataclass(frozen=True)
class Act:
    """An act.

    Attributes:
        before: what goes before it, undisturbed.
        settings: with which it runs.
        run: what it does.
        again: what is run after it has failed, or was killed.
        new_secret: it ends with another secret.
    """

    before: Callable[[Project], None]
    settings: Callable[[Project], Project]
    run: Callable[[Project], None]
    again: Callable[[Project], None]
    new_secret: bool = False


ACTS = {
    "deploy": Act(nothing, same, deploy, deploy),
    "unchanged": Act(deploy, same, deploy, deploy),
    "changed": Act(deploy, changed, deploy, deploy),
    "rollback": Act(deploy_twice, same, roll_back, roll_back_again),
    "rotate": Act(deploy, same, rotate, deploy, new_secret=True),
    "destroy": Act(deploy, same, destroy, destroy, new_secret=True),
}


def sent(act: str, project: Project, kind: str = "", number: int = 0) -> tuple[list[str], int]:
    """Runs an act in a process of its own, which is killed at its n-th request.

    Args:
        act: by name.
        project: of the tenant.
        kind: `kill before` it is sent, another kill when it is answered; empty: the process ends by itself.
        number: which request, from 1.

    Returns:
        The requests that were sent, as method and URL, and the exit code (-9 for a process that was killed).
    """
    told = project.folder / "sent"
    told.write_text("")
    # The server that it is forked from knows the environment of its own beginning.
    here = {n: v for n, v in os.environ.items() if n == "HOME" or n.startswith("DATABRICKS_")}
    process = _context().Process(target=_process, args=(act, project, kind, number, told, here))
    process.start()
    process.join(KILLED_SECONDS)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"it did not end within {KILLED_SECONDS:g} s")
    return told.read_text().splitlines(), process.exitcode or 0


def _context() -> Any:
    """Processes that begin with everything imported, and nothing else of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.fault_preload"])
    return context


def _process(
    act: str, project: Project, kind: str, number: int, told: Path, environment: dict[str, str]
) -> None:
    from requests.adapters import HTTPAdapter

    os.environ |= environment
    real, lock, count = HTTPAdapter.send, threading.Lock(), 0

    def send(self: HTTPAdapter, request: Any, **options: Any) -> Any:
        nonlocal count
        with lock:
            count += 1
            mine = count == number
            with told.open("a") as out:
                out.write(f"{request.method} {request.url}\n")
        if mine and kind == "kill before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(self, request, **options)
        if mine and kind:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    HTTPAdapter.send = send  # type: ignore[method-assign]
    try:
        ACTS[act].run(ACTS[act].settings(project))
    except DeployError as e:
        sys.exit(f"{e.code}: {e.message}")
