"""The proxy: everything goes through unchanged, nothing waits, and both ends notice when the other is gone."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.launcher.launcher_app import EMBEDDED, LAUNCHER, App

Launch = Callable[..., App]


@pytest.fixture
def app(launch: Launch) -> App:
    return launch().up()


@pytest.fixture
def closing(launch: Launch) -> App:
    """An app whose front end would forward /service to a host outside."""

    def closed(folder: Path) -> None:
        release = json.loads((folder / "release.json").read_text())
        release["routes"].append({"prefix": "/service", "exact": False, "closed": "service.example.com"})
        (folder / "release.json").write_text(json.dumps(release))

    return launch(prepare=closed).up()


@pytest.fixture
def believing(launch: Launch) -> App:
    """An app that believes what is said of the caller: a proxy is in front of it."""
    return launch(env=dict(EMBEDDED)).up()


def raw(app: App, text: str, *, until: bytes = b"") -> bytes:
    """Sends bytes as they are; reads to the end, or until something was seen."""
    with socket.create_connection(("127.0.0.1", app.port), timeout=120) as s:
        s.sendall(text.replace("\n", "\r\n").encode())
        seen = b""
        while chunk := s.recv(65536):
            seen += chunk
            if until and until in seen:
                break
        return seen


@pytest.mark.parametrize(
    ("path", "service", "url"),
    [
        ("/", "frontend", "/"),
        ("/en/login?x=%2F&y", "frontend", "/en/login?x=%2F&y"),
        ("/trpc", "backend", "/trpc/frontend"),
        ("/trpc/a.b?batch=1", "backend", "/trpc/frontend/a.b?batch=1"),
        ("/trpcs", "frontend", "/trpcs"),
        ("/register?x", "frontend", "/register?x"),  # the middleware comes first
        ("/register/more", "frontend", "/register/more"),
        ("/api/auth/get-session", "backend", "/api/auth/get-session"),
        ("/API/auth", "frontend", "/API/auth"),  # the middleware compares with case
        ("/API/a.b", "backend", "/api/a.b"),  # rewrites do not, and it leaves out what has a dot
        ("/api/mark.svg", "frontend", "/api/mark.svg"),  # a file
        ("/%61pi/x.y", "frontend", "/%61pi/x.y"),
    ],
)
def test_routes(app: App, path: str, service: str, url: str) -> None:
    answer = raw(app, f"GET {path} HTTP/1.1\nHost: x\nConnection: close\n\n")
    body = json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])
    assert (body["service"], body["url"]) == (service, url)


def test_absolute_targets_are_routed_like_others(app: App) -> None:
    answer = raw(app, "GET http://x/trpc/y HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert b'"/trpc/frontend/y"' in answer


def test_headers_tell_the_public_origin_and_keep_the_request_id(believing: App) -> None:
    app = believing
    given = {
        "X-Forwarded-Host": "tiny.example.com",
        "X-Request-Id": "id-1",
        "X-Forwarded-Email": "me@example.com",
        "X-Forwarded-For": "203.0.113.9",
        "Connection": "X-Hop",
        "X-Hop": "dropped",
        "__proto__": "kept",
    }
    seen = app.get("/api/x", headers=given).json()["headers"]
    assert seen["host"] == seen["x-forwarded-host"] == "tiny.example.com"
    assert seen["x-forwarded-proto"] == "https"
    assert (seen["x-request-id"], seen["x-forwarded-email"]) == ("id-1", "me@example.com")
    assert seen["x-forwarded-for"] == "203.0.113.9"
    assert "x-hop" not in seen
    bare = app.get("/api/x").json()["headers"]
    assert bare["host"] == f"127.0.0.1:{app.port}"
    assert len(bare["x-request-id"]) == 36
    assert (
        app.get("/api/x", headers={"X-Forwarded-Proto": "http"}).json()["headers"]["x-forwarded-proto"]
        == "http"
    )
    assert app.get("/api/x", headers={"X-Forwarded-Host": "a b/c"}).json()["headers"]["host"] == bare["host"]


def test_connection_cannot_take_away_what_frames_the_body(believing: App) -> None:
    inner = "GET /api/smuggled HTTP/1.1\nHost: x\n\n"
    head = "Connection: close, Content-Length, X-Forwarded-Email\nX-Forwarded-Email: me@example.com"
    head += "".join(f"\n{name}: {value}" for name, value in believing.proxy.items())
    answer = raw(
        believing,
        f"GET /api/x HTTP/1.1\nHost: localhost\n{head}\nContent-Length: {len(inner) + 3}\n\n{inner}",
    )
    seen = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert seen["body"].startswith("GET /api/smuggled")
    assert seen["headers"]["x-forwarded-email"] == "me@example.com"


def test_answers_come_through_as_they_are(app: App) -> None:
    answer = app.get("/api/cookies")
    assert (answer.status_code, answer.reason) == (201, "Made")
    assert answer.raw.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert requests.head(f"{app.url}/api/x").status_code == 200
    assert requests.options(f"{app.url}/api/x").json()["method"] == "OPTIONS"


def test_bodies_of_any_kind(app: App) -> None:
    assert requests.post(f"{app.url}/api/x", data="körper".encode()).json()["body"] == "körper"
    data = bytes(range(256)) * 4096 * 50
    expected = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert requests.put(f"{app.url}/api/hash", data=data).json() == expected
    pieces = (data[i : i + 100_000] for i in range(0, len(data), 100_000))
    assert requests.post(f"{app.url}/api/hash", data=pieces).json() == expected
    chunked = (
        "DELETE /api/x HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nConnection: close\n\n3\nabc\n0\n\n"
    )
    assert b'"body":"abc"' in raw(app, chunked)
    assert len(app.get("/api/big?mb=100").content) == 100 * 1024 * 1024


def test_an_answer_before_the_body_ended(app: App) -> None:
    answer = requests.post(f"{app.url}/api/early", data=b"x" * 3_000_000)
    assert (answer.status_code, answer.text) == (413, "too big")


def test_continue_is_asked_of_the_service(app: App) -> None:
    with socket.create_connection(("127.0.0.1", app.port), timeout=120) as s:
        s.sendall(b"POST /api/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 100 Continue")
        s.sendall(b"body")
        seen = b""
        while b'"body":"body"' not in seen and (more := s.recv(65536)):
            seen += more
        assert seen.startswith(b"HTTP/1.1 200")


def test_events_arrive_at_once_and_a_client_that_leaves_is_noticed(app: App) -> None:
    began = time.monotonic()
    answer = app.get("/api/sse?every=2000", stream=True)
    assert time.monotonic() - began < 1.9, "the head waits for the first event"
    lines = answer.iter_lines()
    assert next(lines) == b"data: 0"
    assert time.monotonic() - began < 3.9, "the first event waits for the second"
    answer.close()
    app.until(lambda: app.get("/api/aborted").json() == 1)


def test_an_answer_that_is_cut_off_looks_cut_off(app: App) -> None:
    with pytest.raises(requests.RequestException):
        app.get("/api/cut")
    app.up()


def test_websockets_in_both_directions(app: App) -> None:
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{app.port}/api/socket", proxy=None) as ws:
        for text in ("one", "two"):
            ws.send(text)
            assert ws.recv(timeout=120) == text


HANDSHAKE = """Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13
"""


def test_a_refused_upgrade_ends_the_connection(app: App) -> None:
    smuggled = "GET /api/x HTTP/1.1\nHost: x\n\n"
    answer = raw(app, f"GET /api/refuse HTTP/1.1\nHost: x\n{HANDSHAKE}\n{smuggled}")
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.endswith(b"no")


def test_other_upgrades_are_served_as_ordinary_requests(app: App) -> None:
    offer = "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n"
    answer = raw(app, f"GET /api/x HTTP/1.1\nHost: x\n{offer}\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"h2c" not in answer.partition(b"\r\n\r\n")[2].lower().replace(b"http2-settings", b"")
    for more in (offer, HANDSHAKE):
        framed = (f"Content-Length: 3\n{more}\nabc", f"Transfer-Encoding: chunked\n{more}\n3\nabc\n0\n\n")
        for text in framed:
            with_body = raw(app, f"POST /api/x HTTP/1.1\nHost: x\n{text}")
            assert with_body.startswith(b"HTTP/1.1 200")
            assert b'"body":"abc"' in with_body
            assert b"upgrade" not in with_body.lower()


def test_a_target_that_is_no_path_reaches_no_service(app: App) -> None:
    for target in ("*", "x", "ftp://x/y"):
        answer = raw(app, f"OPTIONS {target} HTTP/1.1\nHost: x\nConnection: close\n\n")
        assert answer.startswith(b"HTTP/1.1 400"), target


IMAGES = [
    ("/logo.png", 200),
    ("/services.png", 200),
    ("/service/x", 404),
    ("/SERVICE/x", 404),
    ("%2Fservice%2Fx", 404),
    ("%252Fservice", 404),
    ("/%09service/x", 404),
    ("/x/../service/x", 404),
    ("\\\\service", 404),
    ("//service.example.com/x", 404),
    ("https://service.example.com/x", 404),
    ("/api/auth/get-session", 404),
    ("/logo.png&url=/service/x", 404),
]


def test_an_image_is_a_file_of_the_front_end(closing: App) -> None:
    for url, status in IMAGES:
        answer = closing.get(f"/_next/image?w=16&q=75&url={url}")
        assert answer.status_code == status, url
        assert answer.json().get("code", "image_closed") == "image_closed"


def test_nonsense_is_refused_and_the_port_lives_on(app: App) -> None:
    assert raw(app, "NONSENSE\n\n").startswith(b"HTTP/1.1 400")
    assert raw(app, f"GET / HTTP/1.1\nHost: x\nX: {'a' * 70_000}\n\n").startswith(b"HTTP/1.1 431")
    both = "POST /api/x HTTP/1.1\nHost: x\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n"
    assert raw(app, both).startswith(b"HTTP/1.1 400")
    app.up()
    assert "Unexpected error" not in app.log


def killed(app: App) -> None:
    """The backend is dead, and the launcher has noticed."""
    app.get("/api/die")
    app.until(lambda: app.get("/api/x").json().get("code") == "backend_died")


def test_a_service_that_is_away_refuses_upgrades_in_json(app: App) -> None:
    killed(app)
    answer = raw(app, f"GET /api/socket HTTP/1.1\nHost: x\n{HANDSHAKE}\n")
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "backend_died"


def test_a_connection_that_was_used_before_is_told_of_a_refused_upgrade_too(app: App) -> None:
    with socket.create_connection(("127.0.0.1", app.port), timeout=120) as s:
        s.sendall(b"GET /api/x HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = s.recv(65536)
        assert seen.startswith(b"HTTP/1.1 200")
        killed(app)
        s.sendall(f"GET /api/socket HTTP/1.1\nHost: x\n{HANDSHAKE}\n".replace("\n", "\r\n").encode())
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "backend_died"


def test_what_waits_behind_another_answer_ends_with_its_connection(app: App) -> None:
    request = b"GET /api/sse HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", app.port), timeout=120) as s:
        s.sendall(request * 12)
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(0.3)
    app.until(lambda: app.get("/api/aborted").json() == 12)
    assert "MaxListeners" not in app.log


def test_connections_that_say_nothing_are_closed(node: Path) -> None:
    module = json.dumps((LAUNCHER / "proxy/proxy.mjs").as_uri())
    code = f"""
        import {{ Proxy }} from {module};
        const limits = {{ headersTimeout: 300, connectionsCheckingInterval: 100 }};
        const proxy = new Proxy(() => ({{}}), {{ limits }});
        const usual = new Proxy(() => ({{}}), {{}}).server;
        await proxy.listen(0, "127.0.0.1");
        const {{ port }} = proxy.server.address();
        console.log(JSON.stringify({{ port, usual: [usual.headersTimeout, usual.requestTimeout] }}));
    """
    process = subprocess.Popen([node, "--input-type=module", "-e", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        told = json.loads(process.stdout.readline())
        assert told["usual"] == [60_000, 0]
        for said in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            with socket.create_connection(("127.0.0.1", told["port"]), timeout=120) as s:
                s.sendall(said)
                assert s.recv(100).startswith(b"HTTP/1.1 408")
                assert s.recv(100) == b""
    finally:
        process.kill()
        process.wait()


def test_connections_are_used_again_after_the_service_closed_idle_ones(app: App) -> None:
    session = requests.Session()
    for wait in (0, 0.1, 2.9, 3.1):
        time.sleep(wait)
        assert session.get(f"{app.url}/api/x").status_code == 200
