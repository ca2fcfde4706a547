"""The SDK's services over our transport: what they send, and what they may not lose."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.workspace import Workspace
from tests.workspace.fake_host import Answer, Connect, FakeHost

CALLS: dict[str, Callable[[Workspace], object]] = {
    "apps": lambda w: w.apps.get("x"),
    "an app's deployment": lambda w: w.apps.deploy("x", "/Workspace/r", [{"name": "A", "value": ""}]),
    "lakebase": lambda w: w.lakebase.find("projects/p"),
    "instances": lambda w: w.instances.find("i"),
    "files": lambda w: w.files.read("/Workspace/a"),
    "an upload": lambda w: w.files.write("/Workspace/a", b"x"),
    "secrets": lambda w: w.secrets.put("s", "k", Secret("v")),
    "permissions": lambda w: w.permissions.granted("apps", "x"),
    "identity": lambda w: w.me,
    "by hand": lambda w: w._transport.do("GET", "/api/2.0/whatever"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("known", [True, False])
def test_every_request_names_its_workspace(
    host: FakeHost, connect: Connect, call: Callable[[Workspace], object], known: bool
) -> None:
    settings = {"oidc_endpoint": f"{host.url}/oidc", **({"workspace_id": "42"} if known else {})}
    host.on("GET", "/.well-known/databricks-config", Answer(body=settings))
    host.otherwise = Answer(body={"name": "x"})
    call(connect())
    sent = host.requests[-1]
    assert sent.path.startswith("/api/2.0/")
    assert sent.headers.get("X-Databricks-Workspace-Id") == ("42" if known else None)


def test_fields_that_the_sdk_does_not_know_are_sent_back(host: FakeHost, connect: Connect) -> None:
    path = "/api/2.0/apps/x"
    resource = {"name": "new", "teapot": {"id": 1, "permission": "CAN_POUR"}}
    host.on(
        "GET", path, Answer(body={"name": "x", "resources": [resource], "compute_status": {"state": "HOT"}})
    )
    host.on("POST", f"{path}/update", Answer())
    workspace = connect()
    app = workspace.apps.get("x")
    assert app.compute == "HOT"
    workspace.apps.update("x", {"resources": app.resources})
    body = json.loads(host.asked("POST", f"{path}/update")[0].body)
    assert body == {"app": {"name": "x", "resources": [resource]}, "update_mask": "resources"}


def test_an_environment_is_sent_whole(host: FakeHost, connect: Connect) -> None:
    path = "/api/2.0/apps/x/deployments"
    host.on("POST", path, Answer(body={"deployment_id": "d"}))
    env = [{"name": "EMPTY", "value": ""}, {"name": "S", "value_from": "secret"}]
    for given in (env, []):
        assert connect().apps.deploy("x", "/Workspace/r", given).id == "d"
        body = json.loads(host.asked("POST", path)[-1].body)
        assert body == {"mode": "SNAPSHOT", "source_code_path": "/Workspace/r", "env_vars": given}


def test_pages_are_turned(host: FakeHost, connect: Connect) -> None:
    path = "/api/2.0/apps/x/deployments"
    first = {"app_deployments": [{"deployment_id": "a"}], "next_page_token": "more"}
    second = {"app_deployments": [{"deployment_id": "b", "status": {"state": "NEW_WORD"}}]}
    host.on("GET", path, Answer(body=first), Answer(body=second))
    assert [(d.id, d.state) for d in connect().apps.deployments("x")] == [("a", ""), ("b", "NEW_WORD")]
    assert "page_token=more" in host.asked("GET", path)[1].query


def test_an_answer_without_what_the_sdk_expects(host: FakeHost, connect: Connect) -> None:
    """Its waiters read the app's name in the answer to a start, which may be empty."""
    host.on("POST", "/api/2.0/apps/x/start", Answer())
    connect().apps.start("x")
    assert len(host.asked("POST", "/api/2.0/apps/x/start")) == 1
