"""Following an app through states, as a real workspace may show them, on a clock that passes by itself."""

from __future__ import annotations

import email.utils
import time
from typing import Any

import pytest

from metamcp_deploy import events
from metamcp_deploy.deployments import deploy_intent, records, rollout
from metamcp_deploy.deployments.deploy_intent import DeployIntent
from metamcp_deploy.deployments.records import Wanted
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import poll
from metamcp_deploy.workspace.apps import Deployment
from tests.workspace.fake_host import Answer, Connect, FakeClock, FakeHost

APP = "/api/2.0/apps/x"
WANTED = Wanted("r1", "/Workspace/r1", [{"name": "A", "value": "1"}], [], {})


def app(compute: str = "ACTIVE", state: str = "RUNNING", pending: dict[str, Any] | None = None) -> Answer:
    body = {
        "name": "x",
        "compute_status": {"state": compute, "message": "why"},
        "app_status": {"state": state},
    }
    return Answer(body=body | ({"pending_deployment": pending} if pending else {}))


def deployment(state: str, message: str = "") -> dict[str, Any]:
    return {"deployment_id": "d1", "status": {"state": state, "message": message}}


def test_a_refused_deploy_waits_for_the_other_one_and_tries_once_more(
    host: FakeHost, connect: Connect, seen: list[events.Event]
) -> None:
    workspace = connect()
    refusal = {"error_code": "INVALID_STATE", "message": "there is an active deployment in progress"}
    host.on("POST", f"{APP}/deployments", Answer(400, refusal), Answer(body=deployment("IN_PROGRESS")))
    busy = app(pending=deployment("IN_PROGRESS"))
    host.on("GET", APP, busy, busy, app(pending=deployment("SUCCEEDED")))
    assert rollout.begin(workspace, "x", WANTED, DeployIntent(0.0)).id == "d1"
    assert len(host.asked("POST", f"{APP}/deployments")) == 2
    assert any("waits for deployment d1" in e.text for e in seen if isinstance(e, events.Progress))


def test_what_a_start_runs_again_is_waited_for(host: FakeHost, connect: Connect) -> None:
    starting = app().body | {"active_deployment": deployment("IN_PROGRESS")}
    host.on("GET", APP, Answer(body=starting), Answer(body=starting), app())
    assert rollout.idle(connect(), "x").active is None
    assert len(host.asked("GET", APP)) == 3


def test_a_deploy_refused_for_another_reason_is_an_error(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    host.on(
        "POST",
        f"{APP}/deployments",
        Answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "no such path"}),
    )
    host.on("GET", APP, app())
    with pytest.raises(DeployError) as caught:
        rollout.begin(workspace, "x", WANTED, DeployIntent(0.0))
    assert "no such path" in caught.value.message
    assert len(host.asked("POST", f"{APP}/deployments")) == 1


LOST = [Answer(hang_up=True), Answer(500), Answer(504), Answer(body=b'{"deploy')]
BEFORE, SINCE, AFTER = "2026-11-20T10:00:00Z", 1795168801.5, "2026-11-20T10:00:01Z"


def kept(deployment_id: str, at: str, path: str = "/Workspace/r1") -> dict[str, Any]:
    return {
        **deployment("SUCCEEDED"),
        "deployment_id": deployment_id,
        "create_time": at,
        "source_code_path": path,
    }


@pytest.mark.parametrize("lost", LOST)
def test_a_deployment_whose_answer_was_lost_is_found(host: FakeHost, connect: Connect, lost: Answer) -> None:
    workspace = connect()
    host.on("POST", f"{APP}/deployments", lost)
    others = [kept("other", AFTER, "/Workspace/other"), kept("before", BEFORE)]
    host.on("GET", f"{APP}/deployments", Answer(body={"app_deployments": [*others, kept("ours", AFTER)]}))
    assert rollout.begin(workspace, "x", WANTED, DeployIntent(SINCE)).id == "ours"
    assert len(host.asked("POST", f"{APP}/deployments")) == 1


def test_deployments_that_began_in_one_second_are_told_apart(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    listed = [kept("ours", AFTER), kept("last", AFTER), kept("before", BEFORE)]
    host.on("GET", f"{APP}/deployments", Answer(body={"app_deployments": listed}))
    path = WANTED.source_code_path
    found = deploy_intent.deployment(workspace, "x", path, DeployIntent(SINCE, "last"))
    assert found is not None
    assert found.id == "ours"
    assert deploy_intent.deployment(workspace, "x", path, DeployIntent(SINCE, "ours")) is None


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_records_are_ordered_by_the_workspaces_clock(host: FakeHost, connect: Connect, ahead: float) -> None:
    workspace = connect()
    assert abs(records.now(workspace) - time.time()) < 1  # nothing was asked yet
    date = email.utils.formatdate(time.time() + ahead, usegmt=True)
    host.on("GET", APP, Answer(body=app().body, headers={"Date": date}))
    workspace.apps.get("x")
    assert abs(records.now(workspace) - time.time() - ahead) < 3


@pytest.mark.parametrize("lost", LOST)
def test_a_deployment_that_was_not_begun_is_asked_for_again(
    host: FakeHost, connect: Connect, lost: Answer
) -> None:
    workspace = connect()
    host.on("POST", f"{APP}/deployments", lost, Answer(body=deployment("IN_PROGRESS")))
    host.on("GET", f"{APP}/deployments", Answer(body={"app_deployments": [kept("before", BEFORE)]}))
    host.on("GET", APP, app())
    assert rollout.begin(workspace, "x", WANTED, DeployIntent(SINCE)).id == "d1"


def test_a_lost_deployment_that_shows_late(host: FakeHost, connect: Connect) -> None:
    """The second call meets the first one's deployment."""
    workspace = connect()
    refusal = {"error_code": "INVALID_STATE", "message": "there is an active deployment in progress"}
    host.on("POST", f"{APP}/deployments", Answer(hang_up=True), Answer(400, refusal))
    listed = [Answer(body={}), Answer(body={"app_deployments": [kept("ours", AFTER)]})]
    host.on("GET", f"{APP}/deployments", *listed)
    host.on("GET", APP, app(), app(pending=deployment("IN_PROGRESS")))
    assert rollout.begin(workspace, "x", WANTED, DeployIntent(SINCE)).id == "ours"


def test_a_deploy_call_that_fails_for_ever(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    host.on("POST", f"{APP}/deployments", Answer(500))
    host.on("GET", f"{APP}/deployments", Answer(body={}))
    host.on("GET", APP, app())
    with pytest.raises(DeployError) as caught:
        rollout.begin(workspace, "x", WANTED, DeployIntent(SINCE))
    assert caught.value.code is Code.WORKSPACE_ANSWER
    assert len(host.asked("POST", f"{APP}/deployments")) == 3


@pytest.mark.parametrize(("state", "words"), [("CANCELLED", "CANCELLED: by b"), ("FAILED", "FAILED: by b")])
def test_ends_that_are_not_success(host: FakeHost, connect: Connect, state: str, words: str) -> None:
    workspace = connect()
    host.on("GET", APP, app("STOPPED"))
    path = f"{APP}/deployments/d1"
    host.on(
        "GET",
        path,
        Answer(body=deployment("IN_PROGRESS")),
        Answer(body=deployment("QUEUED")),
        Answer(body=deployment(state, "by b")),
    )
    begun = workspace.apps.deployment("x", "d1")
    with pytest.raises(DeployError) as caught:
        rollout.follow(workspace, "x", begun)
    assert caught.value.code is Code.DEPLOYMENT_FAILED
    assert words in caught.value.message
    assert "metamcp-deploy app-deploy --redeploy" in caught.value.hint


def test_a_deployment_that_never_ends(host: FakeHost, connect: Connect, time: FakeClock) -> None:
    workspace = connect()
    host.on("GET", APP, app("STOPPED"))
    host.on("GET", f"{APP}/deployments/d1", Answer(body=deployment("IN_PROGRESS")))
    with pytest.raises(DeployError) as caught:
        rollout.follow(workspace, "x", workspace.apps.deployment("x", "d1"))
    assert caught.value.code is Code.DEADLINE
    assert time.time >= 1000 + 1100


def test_compute_that_starts(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    host.on("GET", APP, app("STOPPED"), app("STOPPED"), app("STARTING"), app("SOMETHING_NEW"), app("ACTIVE"))
    host.on("POST", f"{APP}/start", Answer())
    assert rollout.active_compute(workspace, workspace.apps.get("x")).compute == "ACTIVE"
    assert len(host.asked("POST", f"{APP}/start")) == 1


def test_compute_that_was_started_by_somebody_else(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    host.on("POST", f"{APP}/start", Answer(400, {"error_code": "BAD_REQUEST", "message": "already started"}))
    host.on("GET", APP, app("STARTING"))
    workspace.apps.start("x")
    host.on("GET", APP, app("STOPPED"))
    with pytest.raises(DeployError):
        workspace.apps.start("x")


def test_compute_in_error(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    host.on("GET", APP, app("ERROR"))
    host.on("POST", f"{APP}/start", Answer())
    with pytest.raises(DeployError) as caught:
        rollout.active_compute(workspace, workspace.apps.get("x"))
    assert caught.value.code is Code.REQUEST_REFUSED
    assert "why" in caught.value.message


def test_a_wait_bears_a_workspace_that_is_away_for_a_while(time: FakeClock) -> None:
    away = DeployError(Code.WORKSPACE_UNREACHABLE, "away", hint="")

    def look(until: float) -> str | None:
        if time.time < until:
            raise away
        return "there"

    assert poll(lambda: look(1060), what="it", within=600, hint="", clock=time.clock) == "there"
    with pytest.raises(DeployError) as caught:
        poll(lambda: look(9999), what="it", within=6000, hint="", clock=time.clock)
    assert caught.value is away


def test_a_wait_does_not_hide_other_errors(time: FakeClock) -> None:
    def look() -> None:
        raise DeployError(Code.PERMISSION_DENIED, "no", hint="")

    with pytest.raises(DeployError):
        poll(look, what="it", within=600, hint="", clock=time.clock)
    assert not time.slept


def at(deployment_id: str, second: int) -> dict[str, Any]:
    made = {
        "deployment_id": deployment_id,
        "create_time": f"2026-11-20T10:00:0{second}Z",
        "creator": "ben@x.com",
    }
    return {**deployment("SUCCEEDED"), **made}


@pytest.mark.parametrize("where", ["active_deployment", "pending_deployment"])
def test_another_deployment_that_took_its_place_is_no_success(
    host: FakeHost, connect: Connect, where: str
) -> None:
    host.on("GET", f"{APP}/deployments/d1", Answer(body=at("d1", 1)))
    host.on("GET", APP, Answer(body={**app().body, "active_deployment": at("d1", 1), where: at("d2", 2)}))
    with pytest.raises(DeployError) as caught:
        rollout.follow(connect(), "x", Deployment(at("d1", 1)))
    assert caught.value.code is Code.DEPLOYMENT_REPLACED
    assert "deployment d2 of ben@x.com took its place" in caught.value.message
    assert "metamcp-deploy history" in caught.value.hint


def test_the_deployment_before_is_shown_for_a_moment(host: FakeHost, connect: Connect) -> None:
    host.on("GET", f"{APP}/deployments/d1", Answer(body=at("d1", 1)))
    late, now = ({**app().body, "active_deployment": d} for d in (at("d0", 0), at("d1", 1)))
    host.on("GET", APP, Answer(body=late), Answer(body=now))
    workspace = connect()
    assert rollout.follow(workspace, "x", Deployment(at("d1", 1))).id == "d1"
    rollout.still_active(workspace, "x", "d1")
    with pytest.raises(DeployError) as caught:
        rollout.still_active(workspace, "x", "d0")
    assert caught.value.code is Code.DEPLOYMENT_REPLACED
