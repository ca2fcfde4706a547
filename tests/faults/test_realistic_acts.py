"""Against a workspace that takes its time, and two runs at once, with faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from metamcp_deploy.config.project import Project
from metamcp_deploy.local import faults
from tests.faults.fault_acts import deploy, deploy_twice, destroy, roll_back, sent
from tests.faults.fault_world import World, elsewhere

SCALE = 0.05  # of the platform's times


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[World]:
    for name in (
        "DATABRICKS_HOST",
        "DATABRICKS_CLIENT_ID",
        "DATABRICKS_CLIENT_SECRET",
        "DATABRICKS_CONFIG_FILE",
    ):
        monkeypatch.setenv(name, "")  # so that they are as before when the test ends
    found = World.up(tmp_path, realistic=getattr(request, "param", None))
    yield found
    found.down()


@pytest.mark.parametrize("world", [SCALE], indirect=True)
def test_deploy_rollback_and_destroy(world: World) -> None:
    project = world.tenant("slow")
    deploy(project)
    first = world.seen(project)
    deploy(project)
    assert world.seen(project) == first
    deploy_twice(project)
    roll_back(project)
    back = world.seen(project)
    assert back["app"] == first["app"]
    assert back["deployments"] == ["SUCCEEDED"] * 3
    destroy(project)
    gone = world.seen(project)
    assert (gone["app"], gone["lakebase"], gone["secrets"], gone["files"]) == (None, [], [], [])


def test_two_at_once(world: World) -> None:
    """Whatever the lock's own requests meet: one of them works, and what is there in the end is there once."""
    alone = world.tenant("alone")
    deploy(alone)
    for what in ("503", "lost"):
        project = world.tenant(f"both-{what}")
        other = elsewhere(project)
        codes: list[int] = []

        def run(one: Project, codes: list[int] = codes) -> None:
            codes.append(sent("deploy", one)[1])

        fault = faults.Fault(what, "POST /api/2.0/workspace/import", calls="1-3")
        with faults.injected(world.running, fault) as struck:
            runs = [threading.Thread(target=run, args=(one,)) for one in (project, other)]
            for thread in runs:
                thread.start()
            for thread in runs:
                thread.join()
            assert struck()
        assert 0 in codes
        assert not world.lock(project)
        for one in (project, other):
            deploy(one)
        assert world.seen(project) == world.seen(alone)
