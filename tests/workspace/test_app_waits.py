"""A change of the app while another is under way, and what a project brings with it a moment later."""

from __future__ import annotations

import json

import pytest

from metamcp_deploy.converge.parts.app import waits as app_waits
from metamcp_deploy.errors import Code, DeployError
from tests.workspace.fake_host import Answer, Connect, FakeHost

UPDATE = "/api/2.0/apps/x/update"
BUSY = Answer(409, {"error_code": "RESOURCE_CONFLICT", "message": "an update is in progress"})


def state(word: str) -> Answer:
    return Answer(body={"status": {"state": word, "message": ""}})


def test_a_change_follows_one_that_is_under_way(host: FakeHost, connect: Connect) -> None:
    host.on("POST", UPDATE, BUSY, Answer(body={}))
    host.on("GET", UPDATE, state("IN_PROGRESS"), state("IN_PROGRESS"), state("SUCCEEDED"))
    app_waits.change(connect(), "x", {"description": "new"}, 60)
    sent = [json.loads(one.body)["app"]["description"] for one in host.asked("POST", UPDATE)]
    assert sent == ["new", "new"]


@pytest.mark.parametrize(
    "last", [state("SUCCEEDED"), Answer(404, {"error_code": "NOT_FOUND", "message": "none"})]
)
def test_a_change_that_is_refused_for_another_reason(host: FakeHost, connect: Connect, last: Answer) -> None:
    host.on("POST", UPDATE, Answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "no such size"}))
    host.on("GET", UPDATE, last)
    with pytest.raises(DeployError, match="no such size") as caught:
        app_waits.change(connect(), "x", {"compute_size": "HUGE"}, 60)
    assert caught.value.code is Code.REQUEST_REFUSED
    assert len(host.asked("POST", UPDATE)) == 1


@pytest.mark.parametrize("late", [True, False])
def test_what_comes_with_a_project_may_show_after_it(host: FakeHost, connect: Connect, late: bool) -> None:
    name = "projects/p/branches/production"
    if late:
        host.on(
            "GET", f"/api/2.0/postgres/{name}", host.otherwise, host.otherwise, Answer(body={"name": name})
        )
    assert connect().lakebase.appears(name, 60) is late
