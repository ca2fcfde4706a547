"""Which calls are made again after which failure, and for how long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import ApiError
from tests.workspace.fake_host import Answer, Connect, FakeClock, FakeHost

APP = "/api/2.0/apps/x"
WELL = Answer(body={"name": "x"})
CUT = Answer(body=b'{"name": "x', headers={"Content-Type": "application/json"})
DEPLOYMENTS = f"{APP}/deployments"


@pytest.mark.parametrize(
    "failure",
    [Answer(500), Answer(502), Answer(503), Answer(504), Answer(429), CUT, Answer(hang_up=True)],
)
def test_a_failure_that_passes(host: FakeHost, connect: Connect, time: FakeClock, failure: Answer) -> None:
    workspace = connect()
    host.on("GET", APP, failure, failure, WELL)
    assert workspace.apps.get("x").name == "x"
    assert sum(time.slept) <= 3


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Answer(500), Code.WORKSPACE_ANSWER),
        (Answer(502), Code.WORKSPACE_ANSWER),
        (Answer(503), Code.WORKSPACE_ANSWER),
        (CUT, Code.WORKSPACE_ANSWER),
        (Answer(hang_up=True), Code.WORKSPACE_UNREACHABLE),
    ],
)
def test_one_that_stays_is_told_within_30_seconds(
    host: FakeHost, connect: Connect, time: FakeClock, failure: Answer, code: Code
) -> None:
    workspace = connect()
    host.on("GET", APP, failure)
    with pytest.raises(DeployError) as caught:
        workspace.apps.get("x")
    assert caught.value.code is code
    assert f"GET {APP}" in caught.value.message
    assert 1 <= sum(time.slept) < 30


@pytest.mark.parametrize("failure", [Answer(500), Answer(502), Answer(503), CUT, Answer(hang_up=True)])
def test_what_may_be_done_already_is_not_sent_twice(
    host: FakeHost, connect: Connect, failure: Answer
) -> None:
    workspace = connect()
    host.on("POST", DEPLOYMENTS, failure)
    with pytest.raises(DeployError):
        workspace.apps.deploy("x", "/Workspace/r", [])
    assert len(host.asked("POST", DEPLOYMENTS)) == 1


def test_what_surely_was_not_done_is_sent_again(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    asked = {"Retry-After": "1"}
    host.on(
        "POST",
        DEPLOYMENTS,
        Answer(429),
        Answer(503, headers=asked),
        Answer(401),
        Answer(body={"deployment_id": "d"}),
    )
    assert workspace.apps.deploy("x", "/Workspace/r", []).id == "d"


def test_time_that_the_workspace_asked_for_is_no_failure(
    host: FakeHost, connect: Connect, time: FakeClock
) -> None:
    workspace = connect()
    host.on("GET", APP, Answer(429, headers={"Retry-After": "50"}), Answer(502), WELL)
    assert workspace.apps.get("x").name == "x"
    assert time.slept == [50, 1]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, {"error_code": "UNAUTHENTICATED", "message": "token expired"}),
        (403, {"error_code": "PERMISSION_DENIED", "message": "Invalid access token."}),
    ],
)
def test_a_token_that_ended_early(
    host: FakeHost, connect: Connect, status: int, error: dict[str, str]
) -> None:
    """One new login serves all threads, and the requests that were refused are sent again."""
    workspace = connect()
    assert workspace.me
    asked = {"Retry-After": "0.1"}
    ended = Answer(status, error)
    host.on("GET", APP, ended, ended, ended, Answer(429, headers=asked), WELL)
    tokens = len(host.asked("POST", "/oidc/v1/token"))
    together = threading.Barrier(3)

    def ask(_: int) -> str:
        together.wait()
        return workspace.apps.get("x").name

    host.on(
        "POST",
        "/oidc/v1/token",
        Answer(body={"access_token": "token-2", "token_type": "Bearer", "expires_in": 3600}),
    )
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ask, range(3))) == ["x", "x", "x"]
    assert len(host.asked("POST", "/oidc/v1/token")) == tokens + 1
    assert host.asked("GET", APP)[-1].headers["Authorization"] == "Bearer token-2"


def test_a_new_login_that_is_refused_too(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    host.on("GET", APP, Answer(401, {"error_code": "UNAUTHENTICATED", "message": "no"}))
    with pytest.raises(ApiError) as caught:
        workspace.apps.get("x")
    assert caught.value.code is Code.AUTH_FAILED
    assert len(host.asked("GET", APP)) == 2


@pytest.mark.parametrize(
    "failure", [Answer(503), Answer(429), Answer(502, b"<html>"), CUT, Answer(hang_up=True)]
)
@pytest.mark.parametrize("path", ["POST /oidc/v1/token", "GET /oidc/.well-known/oauth-authorization-server"])
def test_a_login_that_fails_once(host: FakeHost, connect: Connect, failure: Answer, path: str) -> None:
    method, _, where = path.partition(" ")
    host.on(method, where, failure, *host.answers[method, where])
    assert connect().me == "dev@example.com"


def test_a_document_that_was_cut_on_its_way(host: FakeHost, connect: Connect) -> None:
    """Nothing tells it but its content; what is no JSON in the workspace, too, stays what it is."""
    workspace = connect()
    raw = {"Content-Type": "application/octet-stream"}
    path = "/api/2.0/workspace/export"
    host.on("GET", path, Answer(body=b'{"rec', headers=raw), Answer(body=b'{"record": 1}', headers=raw))
    assert workspace.files.read("/Workspace/r/x.json") == b'{"record": 1}'
    host.on("GET", path, Answer(body=b"{broken", headers=raw))
    assert workspace.files.read("/Workspace/r/x.json") == b"{broken"
    host.on("GET", path, Answer(body=b"{brok", headers=raw), Answer(body=b"other", headers=raw))
    assert workspace.files.read("/Workspace/r/x.mjs") == b"{brok"
