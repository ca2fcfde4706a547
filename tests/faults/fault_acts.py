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

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy"))

from tiny_app import write_databricks_yml

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project

HEALTHY_SECONDS = 20.0
KILLED_SECONDS = 120.0


def nothing(project: Project) -> None:
    """No act goes before a first deployment."""


def deploy(project: Project, force_lock: bool = False) -> None:
    """What `deploy` does once the bundle is built.

    Raises:
        DeployError: as the command.
    """
    from metamcp_deploy.stages import deploy as stages

    with stages.working(project):
        wishes = stages.Wishes(force_lock=force_lock)
        stages.run(project, ("bundle-deploy", "app-deploy"), wishes)
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


@dataclass(frozen=True)
class Act:
    """An act: what goes before it undisturbed, with which settings it runs, what it does."""

    before: Callable[[Project], None]
    settings: Callable[[Project], Project]
    run: Callable[[Project], None]


ACTS = {
    "deploy": Act(nothing, same, deploy),
    "unchanged": Act(deploy, same, deploy),
    "changed": Act(deploy, changed, deploy),
}


def sent(act: str, project: Project, kind: str = "", number: int = 0) -> tuple[list[str], int]:
    """Runs an act in a process of its own, which is killed at its n-th request.

    Args:
        act: by name.
        project: of the tenant.
        kind: `kill before` it is sent, or `kill after` it is answered; neither: the process ends by itself.
        number: which request, from 1.

    Returns:
        The requests that were sent, as method and URL, and the exit code (-9 for a process that was killed).
    """
    told = project.folder / "sent"
    told.write_text("")
    process = _context().Process(target=_process, args=(act, project, kind, number, told))
    process.start()
    process.join(KILLED_SECONDS)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"it did not end within {KILLED_SECONDS:g} s")
    return told.read_text().splitlines(), process.exitcode or 0


def _context() -> Any:
    """Processes that begin with everything imported, and nothing else of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fault_preload"])
    return context


def _process(act: str, project: Project, kind: str, number: int, told: Path) -> None:
    from requests.adapters import HTTPAdapter

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
        if mine and kind == "kill after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    HTTPAdapter.send = send  # type: ignore[method-assign]
    ACTS[act].run(ACTS[act].settings(project))
