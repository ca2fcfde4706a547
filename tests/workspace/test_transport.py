"""Every answer of a workspace's host becomes a result or an error that says what to do."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest
import requests

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import ApiError, transport
from tests.workspace.fake_host import Answer, Connect, FakeClock, FakeHost

APP = "/api/2.0/apps/x"
HTML = {"Content-Type": "text/html"}


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (
            Answer(401, {"error_code": "UNAUTHENTICATED", "message": "expired"}),
            Code.AUTH_FAILED,
            "401 UNAUTHENTICATED: expired",
        ),
        (
            Answer(403, {"error_code": "PERMISSION_DENIED", "message": "no"}),
            Code.PERMISSION_DENIED,
            "403 PERMISSION_DENIED: no",
        ),
        (Answer(409, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": "x"}), Code.ALREADY_EXISTS, "409"),
        (Answer(400, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": "x"}), Code.ALREADY_EXISTS, "400"),
        (Answer(409, {"error_code": "", "message": "x"}), Code.ALREADY_EXISTS, "409"),
        (Answer(409, b""), Code.ALREADY_EXISTS, "409"),
        # Notebooks' imports: two wordings, both without a code (databricks/cli, libs/filer).
        (Answer(400, {"message": "Path (/a/b) already exists."}), Code.ALREADY_EXISTS, "400"),
        (
            Answer(400, {"message": "RESOURCE_ALREADY_EXISTS: /a/b already exists. Pass overwrite."}),
            Code.ALREADY_EXISTS,
            "400",
        ),
        (Answer(400, {"message": "It is not known."}), Code.REQUEST_REFUSED, "not known"),
        (Answer(409, {"error_code": "ABORTED", "message": "reconciliation"}), Code.BUSY, "reconciliation"),
        (Answer(409, {"error_code": "RESOURCE_CONFLICT", "message": "busy"}), Code.BUSY, "busy"),
        (
            Answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "bad"}),
            Code.REQUEST_REFUSED,
            "bad",
        ),
        (
            Answer(400, {"schemas": [], "detail": "scim says", "status": "400"}),
            Code.REQUEST_REFUSED,
            "scim says",
        ),
        (
            Answer(500, {"error_code": "INTERNAL_ERROR", "message": "boom"}),
            Code.WORKSPACE_ANSWER,
            "500 INTERNAL_ERROR: boom",
        ),
        (Answer(502, b"<html>bad gateway</html>", HTML), Code.WORKSPACE_ANSWER, "HTML page"),
        (Answer(200, b"<html>Welcome</html>", HTML), Code.WORKSPACE_ANSWER, "HTML page"),
        (Answer(200, []), Code.WORKSPACE_ANSWER, "no JSON object"),
        (
            Answer(302, b"", {"Location": "https://login.example.com/x?next=1"}),
            Code.AUTH_FAILED,
            "login.example.com/x",
        ),
    ],
)
def test_errors_in_words(host: FakeHost, connect: Connect, answer: Answer, code: Code, words: str) -> None:
    workspace = connect()
    host.on("GET", APP, answer)
    with pytest.raises(DeployError) as caught:
        workspace.apps.get("x")
    assert caught.value.code is code
    assert words in caught.value.message
    assert "GET /api/2.0/apps/x" in caught.value.message
    assert host.url in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("answer", [Answer(200, b""), Answer(200, {}), Answer(200, {"name": "y"})])
def test_an_answer_that_is_another_thing(host: FakeHost, connect: Connect, answer: Answer) -> None:
    host.on("GET", APP, answer)
    with pytest.raises(DeployError, match="not that app") as caught:
        connect().apps.get("x")
    assert caught.value.code is Code.WORKSPACE_ANSWER


def test_what_is_not_there_is_none(host: FakeHost, connect: Connect) -> None:
    assert connect().apps.find("x") is None


def test_unknown_states_pass(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    raw = {
        "name": "x",
        "compute_status": {"state": "HIBERNATING"},
        "app_status": None,
        "url": "https://x.example.com/",
    }
    host.on("GET", APP, Answer(body=raw))
    app = workspace.apps.get("x")
    assert (app.compute, app.state, app.url, app.active) == ("HIBERNATING", "", "https://x.example.com", None)


def test_throttling_is_obeyed(
    host: FakeHost, connect: Connect, time: FakeClock, seen: list[events.Event]
) -> None:
    workspace = connect()
    host.on("GET", APP, Answer(429, {}, {"Retry-After": "7"}), Answer(503), Answer(body={"name": "x"}))
    assert workspace.apps.get("x").name == "x"
    assert time.slept == [7, 1]
    assert any("asks to wait 7 s (HTTP 429)" in e.text for e in seen if isinstance(e, events.Progress))


def test_throttled_for_ever(host: FakeHost, connect: Connect, time: FakeClock) -> None:
    workspace = connect()
    host.on(
        "GET",
        APP,
        Answer(429, {"error_code": "RESOURCE_EXHAUSTED", "message": "slow down"}, {"Retry-After": "50"}),
    )
    with pytest.raises(ApiError) as caught:
        workspace.apps.get("x")
    assert (caught.value.code, caught.value.status) == (Code.RATE_LIMITED, 429)
    assert sum(time.slept) == 100


def test_uploads_are_retried_when_throttled(host: FakeHost, connect: Connect, tmp_path: Path) -> None:
    workspace = connect()
    host.on("POST", "/api/2.0/workspace/mkdirs", Answer())
    host.on("POST", "/api/2.0/workspace/import", Answer(429, {}, {"Retry-After": "1"}), Answer())
    (tmp_path / "a").write_bytes(b"\x00content")
    workspace.files.send("/Workspace/r", {"a": tmp_path / "a"})
    sent = host.asked("POST", "/api/2.0/workspace/import")
    assert len(sent) == 2
    assert all(b"\x00content" in r.body and b"/Workspace/r/a" in r.body for r in sent)


def test_a_lost_answer_is_asked_for_again(host: FakeHost, connect: Connect, seen: list[events.Event]) -> None:
    workspace = connect()
    host.on("GET", APP, Answer(hang_up=True), Answer(body={"name": "x"}))
    assert workspace.apps.get("x").name == "x"
    assert any("does not answer; trying again" in e.text for e in seen if isinstance(e, events.Progress))


def test_a_deploy_call_whose_answer_was_lost_is_not_repeated(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    host.on("POST", f"{APP}/deployments", Answer(hang_up=True))
    with pytest.raises(DeployError) as caught:
        workspace.apps.deploy("x", "/Workspace/r", [])
    assert caught.value.code is Code.WORKSPACE_UNREACHABLE
    assert len(host.asked("POST", f"{APP}/deployments")) == 1


def test_nothing_listens(host: FakeHost, connect: Connect, time: FakeClock) -> None:
    workspace = connect()
    with socket.create_server(("127.0.0.1", 0)) as free:
        workspace._transport.host = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(DeployError) as caught:
        workspace.apps.get("x")
    assert caught.value.code is Code.WORKSPACE_UNREACHABLE
    assert "connection refused" in caught.value.message
    assert sum(time.slept) < 30


def test_a_netrc_does_not_replace_the_login(
    host: FakeHost, connect: Connect, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    workspace = connect()
    host.on("GET", APP, Answer(body={"name": "x"}))
    workspace.apps.get("x")
    asked = host.asked("GET", APP)[0]
    assert asked.headers["Authorization"] == "Bearer token-1"
    assert asked.headers["User-Agent"].startswith("metamcp-deploy/")


def test_sizes_are_read_where_the_workspace_does_not_tell(host: FakeHost, connect: Connect) -> None:
    workspace = connect()
    objects = [{"path": "/r/a", "object_type": "FILE"}, {"path": "/r/b", "object_type": "FILE", "size": 5}]
    host.on("GET", "/api/2.0/workspace/list", Answer(body={"objects": objects}))
    host.on("GET", "/api/2.0/workspace/export", Answer(body=b"four"))
    assert workspace.files.sizes("/Workspace/r") == {"a": 4, "b": 5}


def test_a_failed_upload_ends_the_others(host: FakeHost, connect: Connect, tmp_path: Path) -> None:
    workspace = connect()
    host.on("POST", "/api/2.0/workspace/mkdirs", Answer())
    host.on(
        "POST", "/api/2.0/workspace/import", Answer(403, {"error_code": "PERMISSION_DENIED", "message": "no"})
    )
    files = {}
    for n in range(100):
        files[f"f{n}"] = tmp_path / f"f{n}"
        files[f"f{n}"].write_bytes(b"x")
    with pytest.raises(DeployError) as caught:
        workspace.files.send("/Workspace/r", files)
    assert caught.value.code is Code.PERMISSION_DENIED
    assert len(host.asked("POST", "/api/2.0/workspace/import")) < 100


def test_a_large_file_goes_through_a_slow_line(
    connect: Connect, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time to connect is also what the sending of a body may take."""
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.2)
    content = b"x" * 8_000_000
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = bytearray()

        def slowly() -> None:
            connection, _ = server.accept()
            with connection:
                time.sleep(1)
                while b"\r\n--" not in taken[len(content) :]:  # the end of the form
                    taken.extend(connection.recv(1_000_000))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=slowly, daemon=True)
        thread.start()
        made = transport.Transport(f"http://127.0.0.1:{server.getsockname()[1]}", requests.Session, dict)
        assert made.do("POST", "/upload", data={"path": "/x"}, files={"content": content}) == {}
        thread.join(10)
    assert content in taken
