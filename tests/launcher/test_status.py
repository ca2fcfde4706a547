"""The launcher's status: what it says in each state, who may read it, and that it holds no secret."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metamcp_deploy.deployments.launcher_document import Document
from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import (
    AUTH_SECRET,
    CLIENT_SECRET,
    EMBEDDED,
    OIDC_SECRET,
    App,
    FakeWorkspace,
    behind_proxy,
)

Launch = Callable[..., App]
STATUS = "/.metamcp-deploy/status"
OPERATOR = {"X-Forwarded-Email": "OnCall@example.com"}
OUTSIDER = {"X-Forwarded-Email": "someone@example.com"}
POOL = """
globalThis[Symbol.for("metamcp-deploy.pool-counts")] = () => ({ total: 3, idle: 1, waiting: 7, most: 10 });
"""
TOKEN = "token-of-a-manager-marked-61f2"
LIST = "/api/2.0/permissions/apps/tiny"
ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture
def launch(launch: Launch) -> Launch:
    return behind_proxy(launch)


def status(app: App) -> Any:
    answer = app.get(STATUS, headers=OPERATOR)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def test_an_app_that_is_up(launch: Launch) -> None:
    app = launch().up()
    opened = app.get("/api/ask?want=database-password")
    assert opened.json()["value"].startswith("db-credential-marked")
    app.get("/api/spawn")
    seen = app.until(lambda: (s := status(app))["processes"]["by_server"] and s)
    assert (seen["format"], seen["status"], seen["step"], seen["code"]) == (1, "up", None, "up")
    assert (seen["error"], seen["cause"], seen["fix"], seen["attempts"]) == (None, None, None, 1)
    assert [(s["step"], s["state"]) for s in seen["steps"]] == [
        (step, "done") for step in ("release", "environment", "unpack", "database", "migrate", "services")
    ]
    assert 0 < sum(s["seconds"] for s in seen["steps"]) <= seen["uptime_seconds"]
    started = datetime.fromisoformat(seen["started"])
    assert timedelta() < datetime.now(UTC) - started < timedelta(minutes=2)
    assert seen["release"]["id"] == "0" * 16
    assert seen["node"].startswith("v")
    assert any("PGHOST=" in line for line in seen["environment"])
    for name in ("backend", "frontend"):
        one = seen["services"][name]
        assert (one["up"], one["restarts"], one["deaths"]) == (True, 0, [])
        assert datetime.fromisoformat(one["since"]) > started
        assert one["pid"] > 1
        assert one["memory_bytes"] > 1e6
    assert seen["token"]["life_seconds"] == 3600
    assert seen["token"]["last_error"] is None
    credential = seen["credential"]
    assert (credential["kind"], credential["renewals"], credential["failures"]) == ("autoscaling", 0, 0)
    assert 3500 < credential["expires_in_seconds"] <= 3600
    assert 0 <= credential["age_seconds"] < 100
    memory = seen["memory"]
    assert memory["limit_bytes"] > memory["used_bytes"] > 1e7
    assert memory["scarce"] is False
    assert seen["requests"]["pages"] == {"2xx": 2}, "its own addresses are not counted"
    assert seen["requests"]["health"]["2xx"] >= 1
    assert [len(numbers) for numbers in seen["last_hour"].values()] == [60] * 4
    assert sum(seen["last_hour"]["requests"]) >= 3
    assert any("MetaMCP is up" in line["line"] for line in seen["log"])
    assert {"launcher", "backend", "frontend", "migrate"} == {line["source"] for line in seen["log"]}


def test_processes_are_counted_by_the_program_that_was_started(launch: Launch) -> None:
    app = launch().up()
    for _ in range(2):
        app.get("/api/spawn")
    wanted = 2 * 6  # each shell has two loops beside its own, and each loop sleeps
    seen = app.until(lambda: (p := status(app)["processes"])["count"] >= wanted and p)
    (shells,) = seen["by_server"]
    assert (shells["command"], shells["package"], shells["servers"]) == ("sh", None, 2)
    assert shells["count"] == seen["count"]
    assert seen["memory_bytes"] == shells["memory_bytes"] > 0
    assert 0 <= shells["oldest_seconds"] < 100
    assert "trap" not in json.dumps(seen), "arguments may hold secrets"


def test_a_service_that_dies_is_remembered(launch: Launch) -> None:
    app = launch(backend=POOL + programs.BACKEND).up()
    assert app.until(lambda: status(app)["database_pool"]) == {
        "total": 3,
        "idle": 1,
        "waiting": 7,
        "most": 10,
    }
    app.get("/api/die")
    seen = app.until(lambda: (s := status(app))["services"]["backend"]["deaths"] and s)
    if seen["status"] != "up":
        assert (seen["status"], seen["step"]) == ("failed", "backend")
        assert "exit code 3" in seen["error"]
    (death,) = seen["services"]["backend"]["deaths"]
    assert (death["exit_code"], death["signal"], death["code"]) == (3, None, "backend_died")
    assert "last words" in death["lines"]
    assert datetime.fromisoformat(death["time"])
    again = app.until(lambda: (s := status(app))["services"]["backend"]["up"] and s)
    assert again["services"]["backend"]["restarts"] == 1
    assert (again["status"], again["services"]["frontend"]["restarts"]) == ("up", 0)


def test_it_is_answered_while_the_app_fails_and_while_it_starts(launch: Launch) -> None:
    app = launch(migrate=programs.migrate_failing("schema_unknown", heals=False))
    app.away()
    seen = status(app)
    assert (seen["status"], seen["step"], seen["code"]) == ("failed", "migrate", "schema_unknown")
    assert seen["error"] == "It failed. evidence"
    assert "database.schema" in seen["fix"]
    assert seen["steps"][-1] == {
        "step": "migrate",
        "state": "failed",
        "seconds": seen["steps"][-1]["seconds"],
    }
    assert seen["services"]["backend"]["up"] is False
    (known,) = [line["known"] for line in seen["log"] if line["line"].startswith("Start failed")]
    assert (known["id"], known["fix"]) == ("schema-unknown", seen["fix"])
    began = time.monotonic()
    for _ in range(20):
        status(app)
    assert time.monotonic() - began < 5

    waiting = launch(migrate="setInterval(() => {}, 1000);")
    seen = waiting.until(lambda: (s := status(waiting))["step"] == "migrate" and s)
    assert (seen["status"], seen["steps"][-1]["state"]) == ("starting", "running")


def test_what_fails_at_the_workspace_is_named(launch: Launch, workspace: FakeWorkspace) -> None:
    workspace.answers["/oidc/v1/token"] = (401, {"error": "invalid_client"})
    app = launch()
    app.away()
    seen = app.until(lambda: (s := status(app))["attempts"] > 1 and s)
    assert seen["token"]["age_seconds"] is None
    assert seen["token"]["last_error"]["code"] == "token_refused"
    assert "invalid_client" in seen["token"]["last_error"]["message"]
    assert seen["credential"]["failures"] >= 1
    del workspace.answers["/oidc/v1/token"]
    app.up()
    assert status(app)["token"]["last_error"] is None
    assert status(app)["credential"]["last_error"] is None


def test_no_secret_is_in_it(launch: Launch, workspace: FakeWorkspace) -> None:
    app = launch(
        backend=f"console.log('{AUTH_SECRET} said aloud');\n"
        + programs.BACKEND.replace('console.log("last words")', "console.log(process.argv0, 'x')")
    ).up()
    app.get("/api/ask?want=database-password")
    app.get("/api/spawn", headers={"X-Metamcp-Deploy-Token": TOKEN})
    app.get("/api/die")
    app.until(lambda: status(app)["services"]["backend"]["deaths"])
    app.until(lambda: status(app)["status"] == "up")
    text = app.get(STATUS, headers=OPERATOR).text + app.get("/.metamcp-deploy/metrics", headers=OPERATOR).text
    assert "said aloud" in text
    marked = [
        *(AUTH_SECRET, CLIENT_SECRET, OIDC_SECRET, TOKEN, "foreign-marked-5511", "workspace-token-marked"),
        *(*workspace.issued, str(EMBEDDED["METAMCP_PROXY_SECRET"])),
    ]
    assert [m for m in marked if m in text or m in app.log] == []


def test_others_are_refused(launch: Launch) -> None:
    app = launch(migrate=programs.migrate_failing("x", heals=False))
    app.away()
    for path in (STATUS, "/.metamcp-deploy/metrics"):
        answer = app.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "credentials_missing")
        assert "www-authenticate" in answer.headers
        for headers in (OUTSIDER, {"X-Forwarded-Email": "someone@example.com, oncall@example.com"}):
            answer = app.get(path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "operators_only")
            assert set(answer.json()) == {"status", "step", "code", "message", "request_id", "contact"}
        assert app.get(path, headers={"X-Forwarded-User": "oncall@example.com"}).status_code == 401
        assert "PGHOST" not in answer.text
    outside = app.get(STATUS, headers={**OUTSIDER, "Accept": "text/html"})
    assert (outside.status_code, outside.headers["content-type"]) == (403, "text/html; charset=utf-8")


def test_other_methods_and_addresses(launch: Launch) -> None:
    app = launch().up()
    session_like = app.get("/.metamcp-deploy/other", headers=OPERATOR)
    assert session_like.json()["service"] == "frontend"
    import requests

    answer = requests.post(app.url + STATUS, headers=app.proxy | OPERATOR, timeout=60)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    answer = requests.head(app.url + STATUS, headers=app.proxy | OPERATOR, timeout=60)
    assert (answer.status_code, answer.text) == (200, "")
    assert int(answer.headers["content-length"]) > 1000


def entry(level: str, **holder: str) -> dict[str, Any]:
    return {**holder, "all_permissions": [{"permission_level": level, "inherited": False}]}


MANAGER = {"userName": "mia@example.com", "groups": [{"display": "platform-team"}]}


# An app's access list and what SCIM says of the token's owner, or the status of the answer → the launcher's refusal.
CASES: list[tuple[Any, Any, str | None]] = [
    ([entry("CAN_MANAGE", user_name="Mia@example.com")], MANAGER, None),
    ([entry("CAN_MANAGE", group_name="platform-team")], MANAGER, None),
    ([entry("CAN_MANAGE", service_principal_name="0f-1")], {"userName": "0f-1"}, None),
    ([], {"userName": "root@example.com", "groups": [{"display": "admins"}]}, None),
    # An access list that everybody on it may read.
    ([entry("CAN_USE", user_name="mia@example.com")], MANAGER, "not_a_manager"),
    ([entry("CAN_MANAGE", user_name="other@example.com")], MANAGER, "not_a_manager"),
    ([entry("CAN_MANAGE", group_name="users")], {"userName": "mia@example.com"}, "not_a_manager"),
    ([entry("CAN_MANAGE", user_name="")], {}, "not_a_manager"),
    (403, MANAGER, "not_a_manager"),
    (404, MANAGER, "not_a_manager"),
    (401, 401, "token_refused"),
    (500, MANAGER, "token_unchecked"),
    (429, MANAGER, "token_unchecked"),
]


def test_who_manages_the_app_may_read(launch: Launch, workspace: FakeWorkspace) -> None:
    app = launch(migrate=programs.migrate_failing("x", heals=False))
    app.away()
    for number, (acl, me, code) in enumerate(CASES):
        token, email = f"{TOKEN}-{number}", f"caller-{number}@example.com"
        listed = {"object_id": "/apps/tiny", "access_control_list": acl}
        workspace.answers[LIST] = (acl, {"error_code": "X"}) if isinstance(acl, int) else (200, listed)
        workspace.answers[ME] = (me, {}) if isinstance(me, int) else (200, me)
        workspace.requests.clear()
        answer = app.get(STATUS, headers={"X-Forwarded-Email": email, "X-Metamcp-Deploy-Token": token})
        asked = [(path, headers["authorization"]) for _, path, headers, _ in workspace.requests]
        assert sorted(asked) == [(LIST, f"Bearer {token}"), (ME, f"Bearer {token}")]
        http = {None: 200, "not_a_manager": 403, "token_refused": 401, "token_unchecked": 503}[code]
        assert (answer.status_code, answer.json()["code"]) == (http, code or "x"), number
        app.get(STATUS, headers={"X-Metamcp-Deploy-Token": token})
        kept = len(workspace.requests) == 2
        assert kept == (code != "token_unchecked"), "what was found out is kept for a moment"
    assert TOKEN not in app.log


def test_checks_of_tokens_are_few(launch: Launch, workspace: FakeWorkspace) -> None:
    app = launch(migrate=programs.migrate_failing("x", heals=False))
    app.away()
    workspace.answers[LIST] = (403, {})
    workspace.requests.clear()

    def ask(number: int, headers: dict[str, str]) -> tuple[int, str]:
        answer = app.get(STATUS, headers={**headers, "X-Metamcp-Deploy-Token": f"guessed-token-{number}"})
        return answer.status_code, answer.json()["code"]

    assert {ask(n, OUTSIDER) for n in range(10)} == {(403, "not_a_manager")}
    assert ask(10, OUTSIDER) == (429, "too_many_checks")
    assert ask(11, {"X-Forwarded-Email": "mia@example.com"}) == (403, "not_a_manager")
    assert len(workspace.requests) == 2 * 11
    assert ask(12, OPERATOR)[0] == 200
    for bad in ("", "short", "two tokens", "one, two"):
        answer = app.get(STATUS, headers={**OUTSIDER, "X-Metamcp-Deploy-Token": bad})
        assert (answer.status_code, answer.json()["code"]) == (401, "token_refused")
    assert len(workspace.requests) == 2 * 11


def test_the_token_goes_no_further(launch: Launch) -> None:
    app = launch().up()
    for path in ("/api/x", "/en", "/metamcp/x/mcp"):
        headers = app.get(path, headers={"X-Metamcp-Deploy-Token": TOKEN}).json()["headers"]
        assert not [name for name, value in headers.items() if "deploy-token" in name or TOKEN in value]


def test_the_reader_knows_every_field(launch: Launch) -> None:
    app = launch().up()
    app.get("/api/die")
    seen = app.until(lambda: (s := status(app))["services"]["backend"]["deaths"] and s)
    document = Document.of(seen)
    assert document is not None
    assert document.raw == seen
    left_out = set(seen) - set(vars(document))
    assert left_out == {"last_hour"}, "plots are for the page"
    assert document.services.backend.deaths[0].exit_code == 3
    assert document.credential.kind == "autoscaling"
    assert document.log[0].source == "launcher"
    assert document.steps[0].step == "release"


def test_who_manages_the_app_restarts_a_service(launch: Launch, workspace: FakeWorkspace) -> None:
    import requests

    app = launch().up()
    listed = {"access_control_list": [entry("CAN_MANAGE", user_name="mia@example.com")]}
    workspace.answers[LIST], workspace.answers[ME] = (200, listed), (200, MANAGER)

    def post(name: str, **headers: str) -> requests.Response:
        sent = app.proxy | {"X-Forwarded-Email": "mia@example.com"} | headers
        return requests.post(f"{app.url}/.metamcp-deploy/restart/{name}", headers=sent, timeout=60)

    before = status(app)["services"]["backend"]
    by_cookie = post("backend", **OPERATOR, Origin="https://elsewhere.example.com")
    assert (by_cookie.status_code, by_cookie.json()["code"]) == (401, "credentials_missing")
    assert app.get("/.metamcp-deploy/restart/backend", headers=OPERATOR).status_code == 405
    assert status(app)["services"]["backend"]["pid"] == before["pid"]
    done = post("backend", **{"X-Metamcp-Deploy-Token": TOKEN})
    assert (done.status_code, done.json()) == (202, {"service": "backend", "restarting": True})

    def again() -> Any:
        one = status(app)["services"]["backend"]
        return one["up"] and one["pid"] != before["pid"] and one

    seen = app.until(again)
    assert (seen["restarts"], seen["deaths"]) == (1, []), "what was asked for is no death"
    assert status(app)["services"]["frontend"]["restarts"] == 0
    assert "Ending the backend, as mia@example.com asked" in app.log
    workspace.answers[LIST] = (200, {"access_control_list": [entry("CAN_USE", user_name="mia@example.com")]})
    refused = post("frontend", **{"X-Metamcp-Deploy-Token": f"{TOKEN}-2"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_a_manager")
