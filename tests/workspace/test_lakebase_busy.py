"""Endpoints that are reconciled: as the official command line, which waits for them and tries again.

Reference: databricks/cli, bundle/direct/dresources/postgres_endpoint.go.
"""

from __future__ import annotations

import pytest

from metamcp_deploy.errors import Code, DeployError
from tests.workspace.fake_host import Answer, Connect, FakeClock, FakeHost

ENDPOINT = "projects/p/branches/b/endpoints/e"
PATH = f"/api/2.0/postgres/{ENDPOINT}"
DONE = Answer(body={"name": f"{ENDPOINT}/operations/1", "done": True, "response": {}})
BUSY = Answer(409, {"error_code": "ABORTED", "message": "Endpoint reconciliation still in progress"})


def shown(**status: str) -> Answer:
    return Answer(body={"name": ENDPOINT, "status": status})


def test_a_change_waits_before_and_after(host: FakeHost, connect: Connect, time: FakeClock) -> None:
    workspace = connect()
    host.on("PATCH", PATH, BUSY, BUSY, DONE)
    host.on("GET", PATH, shown(pending_state="ACTIVE"), shown(pending_state="ACTIVE"), shown())
    workspace.lakebase.change(ENDPOINT, {"autoscaling_limit_max_cu": 4})
    assert time.slept[:2] == [2.0, 2.0]
    assert len(host.asked("GET", PATH)) == 3


def test_one_that_stays_busy_is_an_error_after_two_minutes(
    host: FakeHost, connect: Connect, time: FakeClock
) -> None:
    workspace = connect()
    host.on("PATCH", PATH, BUSY)
    with pytest.raises(DeployError, match="reconciliation") as caught:
        workspace.lakebase.change(ENDPOINT, {"autoscaling_limit_max_cu": 4})
    assert caught.value.code is Code.BUSY
    assert 110 <= sum(time.slept) <= 120
