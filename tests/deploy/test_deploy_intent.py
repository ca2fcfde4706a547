"""A deployment whose run ended before it could record it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import rollout
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.rollback import execution, preparation
from metamcp_deploy.stages import deploy
from metamcp_deploy.target import session
from tests.deploy.tiny_app import with_app, write_databricks_yml

Deploy = Callable[..., pipeline.Facts]


def unrecorded(project: Project, facts: pipeline.Facts) -> None:
    """As after kill -9 between the deploy call and its record."""
    session.connect(project).files.delete(str(facts["record"]))


def records(project: Project, facts: pipeline.Facts) -> list[dict[str, Any]]:
    files = session.connect(project).files
    folder = str(facts["record"]).rsplit("/", 1)[0]
    return [json.loads(files.read(f"{folder}/{name}") or b"") for name in files.entries(folder)]


def test_the_next_run_records_it_and_goes_on(project: Project, deployed: Deploy) -> None:
    first = deployed(project, message="the first")
    before = records(project, first)
    unrecorded(project, first)
    second = deployed(project)
    assert second["deployment"] == first["deployment"]
    assert records(project, second) == before


def test_one_made_by_hand_since_is_not_taken_for_it(project: Project, deployed: Deploy) -> None:
    first = deployed(project)
    workspace = session.connect(project)
    release = f"{str(first['record']).rsplit('/deployments/')[0]}/releases/{first['release']}"
    by_hand = workspace.apps.deploy(str(first["app"]), release, [])
    second = deployed(project)
    assert second["deployment"] not in (first["deployment"], by_hand.id)
    assert {r["deployment"] for r in records(project, second)} == {first["deployment"], second["deployment"]}


def test_not_where_the_settings_have_changed(project: Project, deployed: Deploy) -> None:
    """It is recorded as what it was, and the new settings are deployed."""
    first = deployed(project)
    unrecorded(project, first)
    other = with_app(project, env={"LOG_LEVEL": "debug"})
    write_databricks_yml(other)
    second = deployed(other)
    assert second["deployment"] != first["deployment"]
    assert {r["deployment"] for r in records(other, second)} == {first["deployment"], second["deployment"]}


def test_the_run_that_goes_on_with_a_deployment_answers_for_it(
    project: Project, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline's retry: what the first try began is its own, to record and to take back."""
    good = deployed(project)
    bad = with_app(project, env={"MODE": "missing"})

    def ended(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(rollout, "follow", ended)
        with pytest.raises(KeyboardInterrupt):
            deployed(bad)

    def again() -> None:
        with session.shared(), execution.on_failure(bad):
            deployed(bad)
            deploy.healthy(bad, 1)

    with pytest.raises(DeployError) as caught:
        again()
    assert caught.value.code is Code.UNHEALTHY
    assert good["release"] in caught.value.message
    assert "is healthy" in caught.value.message
    outcomes = {str(r["kind"]): r["outcome"] for r in records(project, good)[1:]}
    assert outcomes == {"deploy": "UNHEALTHY", "rollback": "SUCCEEDED"}


def test_a_rollback_that_was_not_recorded_is_not_gone_back_from(project: Project, deployed: Deploy) -> None:
    first = deployed(project)
    other = with_app(project, env={"LOG_LEVEL": "debug"})
    write_databricks_yml(other)
    deployed(other)
    with session.shared():
        done = execution.run(session.site(other), preparation.Wishes(), wait=10)
    kept = records(project, first)
    rolled = max(kept, key=lambda r: str(r["at"]))
    assert (rolled["kind"], rolled["of"]) == ("rollback", first["deployment"])
    folder = str(first["record"]).rsplit("/", 1)[0]
    files = session.connect(project).files
    (path,) = [n for n in files.entries(folder) if done.deployment in n]
    files.delete(f"{folder}/{path}")
    with session.shared():
        again = execution.run(session.site(other), preparation.Wishes(), wait=10)
    assert again.deployment == done.deployment
    assert sorted(map(str, records(project, first))) == sorted(map(str, kept))
