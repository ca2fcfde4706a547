"""An embedded workspace with a tiny app: a bundle of a few lines instead of a built MetaMCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import DeployError
from metamcp_deploy.stages import app_deploy, bundle_deploy
from metamcp_deploy.target import session
from tests.deploy.tiny_app import settings, write_bundle, write_databricks_yml
from tests.embedded_people import person


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[Project]:
    """One embedded workspace for the session; tests differ by the names of their apps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAMCP_CACHE_DIR", str(shared_cache))
        project = Project(tmp_path_factory.mktemp("deploy"), settings())
        running = local.up(project, instances=True)
        for name in ("ada@example.com", "ben@example.com", "bea@example.com"):
            person(running, name)
        yield project
        local.reset(project)


_count = 0


@pytest.fixture
def project(base: Project) -> Iterator[Project]:
    """A project with an app of its own in the shared workspace, and a bundle that is built; the app goes with it."""
    global _count
    _count += 1
    name = f"tiny-{_count}"
    fresh = replace(base, settings=settings(app={"name": name}))
    for path in fresh.state.glob("*"):
        path.unlink()
    write_bundle(fresh)
    yield fresh
    with suppress(DeployError):  # most have one; a workspace takes no more than a hundred
        session.connect(fresh).apps.delete(name)


@pytest.fixture
def seen() -> Iterator[list[events.Event]]:
    """All events of the test."""
    found: list[events.Event] = []
    with events.listening(found.append):
        yield found


@pytest.fixture
def bundled() -> Callable[..., pipeline.Facts]:
    def bundle(project: Project, **wishes: Any) -> pipeline.Facts:
        write_databricks_yml(project)
        return pipeline.execute(
            bundle_deploy.step(project, bundle_deploy.Wishes(**wishes)), project.state
        ).facts

    return bundle


@pytest.fixture
def deployed(bundled: Callable[..., pipeline.Facts]) -> Callable[..., pipeline.Facts]:
    def deploy(project: Project, **wishes: Any) -> pipeline.Facts:
        bundled(project)
        return pipeline.execute(app_deploy.step(project, app_deploy.Wishes(**wishes)), project.state).facts

    return deploy
