"""A call that cannot succeed fails within 30 seconds, and says where, why and what to do."""

from __future__ import annotations

import socket
import ssl
import threading
import time as real_time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.network import Network
from metamcp_deploy.workspace import ApiError, Workspace
from tests.workspace.fake_host import Answer, Connect, FakeClock, FakeHost

LIMIT_SECONDS = 30.0
BLOCKED = {
    "error_code": "403",
    "message": "Source IP address: 192.0.2.7 is blocked by Databricks IP ACL for workspace: 123",
}
HTML = {"Content-Type": "text/html"}


@pytest.fixture
def silent() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Drops what is sent to connect: its queue is full, and nobody takes anything out of it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        place = listening.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(place)
        yield f"http://127.0.0.1:{place[1]}"
        for one in waiting:
            one.close()


@pytest.fixture
def untrusted() -> Iterator[str]:
    """Speaks TLS with a certificate of an authority that nobody knows."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_hosts_that_do_not_answer(
    silent: str, black_hole: str, untrusted: str, settings: Settings, network: Network
) -> None:
    """With the real clock, side by side."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        refusing = f"http://127.0.0.1:{free.getsockname()[1]}"
    hosts = {
        "https://no-such-host.invalid": "its name is unknown",
        refusing: "connection refused",
        silent: "no answer in time",
        black_hole: "no connection in time",
        untrusted: "its TLS certificate is not trusted",
    }

    def tried(host: str) -> tuple[str, DeployError, float]:
        began = real_time.monotonic()
        secret = Secret("very-secret")
        error = failure(
            lambda: Workspace.connect(settings, network, host=host, client_id="id-1", client_secret=secret).me
        )
        return host, error, real_time.monotonic() - began

    with ThreadPoolExecutor(len(hosts)) as pool:
        for host, error, seconds in pool.map(tried, hosts):
            assert error.code is Code.WORKSPACE_UNREACHABLE
            assert hosts[host] in error.message
            assert host in error.message
            assert error.hint
            assert seconds < LIMIT_SECONDS, f"{host} took {seconds:.0f} s"


def failure(call: Callable[[], object]) -> DeployError:
    with pytest.raises(DeployError) as caught:
        call()
    return caught.value


def everywhere(host: FakeHost, answer: Answer) -> None:
    """Whatever is asked."""
    host.answers.clear()
    host.otherwise = answer


@pytest.mark.parametrize(
    "answer",
    [
        Answer(302, b"", {"Location": "https://login.example.com/signin?next=/"}),
        Answer(200, b"<html>Welcome to our shop</html>", HTML),
        Answer(404, b"<html>nothing here</html>", HTML),
    ],
)
def test_a_host_that_is_no_workspace(host: FakeHost, connect: Connect, answer: Answer) -> None:
    everywhere(host, answer)
    error = failure(lambda: connect().me)
    assert error.code is Code.AUTH_FAILED
    assert host.url in error.message
    assert "is the host right?" in error.message
    if answer.status == 302:
        assert "login.example.com/signin" in error.message


def test_an_address_that_is_blocked(host: FakeHost, connect: Connect) -> None:
    everywhere(host, Answer(403, BLOCKED))
    error = failure(connect)
    assert error.code is Code.ADDRESS_REFUSED
    assert "192.0.2.7" in error.message
    assert "IP access list" in error.hint


def test_an_address_that_is_blocked_from_tokens(host: FakeHost, connect: Connect) -> None:
    """The SDK does not tell why: the API is asked."""
    host.on("POST", "/oidc/v1/token", Answer(403, BLOCKED))
    host.on("GET", "/api/2.0/preview/scim/v2/Me", Answer(403, BLOCKED))
    error = failure(lambda: connect().me)
    assert error.code is Code.ADDRESS_REFUSED
    assert "192.0.2.7" in error.message


@pytest.mark.parametrize(
    ("path", "answer", "code", "words", "hint"),
    [
        ("apps/x", (403, BLOCKED), Code.ADDRESS_REFUSED, "192.0.2.7", "VPN"),
        (
            "apps/x",
            (
                403,
                {"error_code": "PERMISSION_DENIED", "message": "Unauthorized network access to workspace: 1"},
            ),
            Code.ADDRESS_REFUSED,
            "Unauthorized network access",
            "VPN",
        ),
        (
            "apps/x",
            (404, {"error_code": "FEATURE_DISABLED", "message": "Apps are not enabled"}),
            Code.FEATURE_MISSING,
            "404 FEATURE_DISABLED: Apps are not enabled",
            "whether Databricks Apps can be enabled",
        ),
        (
            "postgres/projects/p",
            (
                404,
                {
                    "error_code": "ENDPOINT_NOT_FOUND",
                    "message": "No API found for 'GET /postgres/projects/p'",
                },
            ),
            Code.FEATURE_MISSING,
            "ENDPOINT_NOT_FOUND",
            "whether Lakebase can be enabled",
        ),
        (
            "apps/x",
            (403, {"error_code": "PERMISSION_DENIED", "message": "no CAN_USE"}),
            Code.PERMISSION_DENIED,
            "403 PERMISSION_DENIED: no CAN_USE",
            "metamcp-deploy preflight",
        ),
        (
            "apps/x",
            (502, b"<html>No API found for you</html>"),
            Code.WORKSPACE_ANSWER,
            "502",
            "state of the workspace",
        ),
    ],
)
def test_refusals(
    host: FakeHost,
    connect: Connect,
    path: str,
    answer: tuple[int, object],
    code: Code,
    words: str,
    hint: str,
) -> None:
    workspace = connect()
    host.on("GET", f"/api/2.0/{path}", Answer(*answer))
    began = real_time.monotonic()
    look = workspace.apps.find if path.startswith("apps") else workspace.lakebase.find
    error = failure(lambda: look(path.partition("/")[2]))
    assert isinstance(error, ApiError)
    assert (error.code, error.status) == (code, answer[0])
    assert words in error.message
    assert f"GET /api/2.0/{path} on {host.url}" in error.message
    assert hint in error.hint
    assert real_time.monotonic() - began < 60


@pytest.mark.parametrize(
    "last", ["/.well-known/databricks-config", "/oidc/.well-known/oauth-authorization-server"]
)
def test_a_workspace_that_vanishes_during_login(
    host: FakeHost, connect: Connect, time: FakeClock, last: str
) -> None:
    """The SDK words it as a login that was refused, or as one that could not be configured."""
    gone = Answer(hang_up=True)
    paths = [path for _, path in host.answers]
    for path in paths[paths.index(last) + 1 :]:
        host.on("POST" if path.endswith("/token") else "GET", path, gone)
    if last == paths[0]:
        host.on("GET", last, host.answers["GET", last][0], gone)
    host.otherwise = gone
    before = time.time
    error = failure(lambda: connect().me)
    assert error.code is Code.WORKSPACE_UNREACHABLE
    assert "could not log in" not in error.message
    assert f"for {time.time - before:.0f} s" in error.message
    assert time.time > before
