"""Two credentials and one header: the platform's token ends at the launcher, MetaMCP's key arrives."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.launcher.launcher_app import App, behind_proxy

Launch = Callable[..., App]
KEY = "sk_mt_0123456789abcdef"


@pytest.fixture
def launch(launch: Launch) -> Launch:
    return behind_proxy(launch)


def encoded(claims: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def jwt(**claims: str) -> str:
    return f"{encoded({'alg': 'RS256'})}.{encoded(claims)}.c2lnbmF0dXJl"


PLATFORM = jwt(iss="https://dev.cloud.databricks.com/oidc", sub="me@example.com")
PLATFORMS = [
    PLATFORM,
    jwt(sub="me"),
    jwt(iss="https://adb-1.2.azuredatabricks.net/oidc"),
    "dapi0123456789abcdef",
    "dose0123456789abcdef",
]

# Answers endpoints as MetaMCP does: X-API-Key, then the bearer, then the query; 401 without.
BACKEND = r"""
import http from "node:http";
http.createServer((req, res) => {
  const url = new URL(req.url, "http://x");
  if (url.pathname === "/health") return res.end("{}");
  const key = req.headers["x-api-key"] ?? req.headers.authorization?.slice(7) ?? url.searchParams.get("api_key");
  if (url.pathname.endsWith("/sse") && key) {
    res.writeHead(200, { "content-type": "text/event-stream" });
    const first = "event: endpoint\ndata: /metamcp/tools/message?sessionId=s-1\n\n";
    res.write(first.slice(0, 20));
    return setTimeout(() => res.write(`${first.slice(20)}event: message\ndata: {"key":"${key}"}\n\n`), 50);
  }
  const status = url.pathname.startsWith("/metamcp/tools") && !key ? 401 : 200;
  const body = JSON.stringify({ error: status === 401 ? "authentication_required" : undefined, url: req.url,
    raw: req.rawHeaders, headers: req.headers });
  res.writeHead(status, { "content-type": "application/json; charset=utf-8", "content-length": Buffer.byteLength(body),
    "www-authenticate": "Bearer realm=\"MetaMCP\"" });
  res.end(body);
}).listen(Number(process.env.METAMCP_BACKEND_PORT), "127.0.0.1");
"""


def routed(folder: Any) -> None:
    file = folder / "release.json"
    release = json.loads(file.read_text())
    release["routes"] += [{"prefix": "/metamcp", "to": "/metamcp", "exact": False}]
    release["routes"] += [{"prefix": "/mcp-proxy", "to": "/mcp-proxy", "exact": False}]
    file.write_text(json.dumps(release))


@pytest.fixture
def app(launch: Launch) -> App:
    return launch(backend=BACKEND, prepare=routed).up()


@pytest.mark.parametrize("token", PLATFORMS)
def test_the_platforms_token_ends_here(app: App, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-Access-Token": token}
    for path in ("/metamcp/tools/mcp", "/api/x", "/mcp-proxy/server/sse?url=x", "/en", "/trpc/x"):
        assert token not in app.get(path, headers=headers).text, path
        assert token not in app.get(path, headers={"authorization": f"bearer  {token} "}).text, path
    assert token not in app.get("/metamcp/tools/mcp", headers={"X-API-Key": token}).text
    assert token not in app.get(f"/metamcp/tools/mcp?api_key={token}").text


def test_a_token_that_the_platform_vouches_for_is_known_by_that(app: App) -> None:
    headers = {"Authorization": "Bearer opaque-1", "X-Forwarded-Access-Token": "opaque-1"}
    assert "opaque-1" not in app.get("/mcp-proxy/server/mcp", headers=headers).text


@pytest.mark.parametrize(
    ("headers", "query", "arrives"),
    [
        ({"Authorization": f"Bearer {PLATFORM}", "X-API-Key": KEY}, "", {"x-api-key": KEY}),
        ({"Authorization": f"Bearer {PLATFORM}"}, f"?api_key={KEY}", {"x-api-key": KEY}),
        ({"Authorization": f"Bearer {PLATFORM}"}, f"?a=1&apikey={KEY}&b=%2F", {"x-api-key": KEY}),
        ({"Authorization": f"Bearer {KEY}"}, "", {"authorization": f"Bearer {KEY}"}),
        ({"Authorization": "Bearer mcp_token_x"}, "", {"authorization": "Bearer mcp_token_x"}),
        ({}, f"?api_key={KEY}", {"x-api-key": KEY}),
        ({"X-API-Key": KEY}, "?api_key=sk_mt_other", {"x-api-key": KEY}),
        (
            {"Authorization": "Bearer opaque-of-an-embedded-workspace", "X-API-Key": KEY},
            "",
            {"x-api-key": KEY},
        ),
    ],
)
def test_every_honest_combination_arrives(
    app: App, headers: dict[str, str], query: str, arrives: dict[str, str]
) -> None:
    answer = app.get(f"/metamcp/tools/mcp{query}", headers=headers)
    seen = answer.json()
    assert answer.status_code == 200
    assert {k: v for k, v in seen["headers"].items() if k in ("authorization", "x-api-key")} == arrives
    assert "key=" not in seen["url"]
    assert ("a=1&b=%2F" in seen["url"]) == ("a=1" in query)


def test_several_of_one_header_leave_the_honest_one(app: App) -> None:
    import socket

    headers = {
        "Host": urlsplit(app.url).netloc,
        "Connection": "close",
        **app.proxy,
        "Authorization": f"Bearer {PLATFORM}",
    }
    text = "GET /metamcp/tools/mcp HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items())
    with socket.create_connection(("127.0.0.1", app.port), timeout=120) as s:
        s.sendall(f"{text}Authorization: Bearer {KEY}\r\n\r\n".encode())
        seen = b"".join(iter(lambda: s.recv(65536), b"")).decode()
    assert PLATFORM not in seen
    assert f"Bearer {KEY}" in seen


def test_what_others_issued_goes_on_to_remote_servers(app: App) -> None:
    theirs = jwt(iss="https://login.example.com")
    for token in (theirs, "ghp_example", "opaque"):
        seen = app.get("/mcp-proxy/server/mcp?url=x", headers={"Authorization": f"Bearer {token}"}).json()
        assert seen["headers"]["authorization"] == f"Bearer {token}"
    basic = app.get("/api/oauth/token", headers={"Authorization": "Basic YTpi"}).json()
    assert basic["headers"]["authorization"] == "Basic YTpi"


def test_the_proxys_session_is_nothing_for_metamcp(app: App) -> None:
    cookies = "__Host-databricksapps=s; better-auth.session_token=b; __databricks_app_x=t"
    assert (
        app.get("/api/x", headers={"Cookie": cookies}).json()["headers"]["cookie"]
        == "better-auth.session_token=b"
    )
    assert "cookie" not in app.get("/api/x", headers={"Cookie": "__Host-databricksapps=s"}).json()["headers"]


@pytest.mark.parametrize(
    ("headers", "query", "says"),
    [
        (
            {"Authorization": f"Bearer {PLATFORM}"},
            "",
            "The Databricks token opens the app, and goes no further.",
        ),
        ({"X-API-Key": PLATFORM}, "", "The Databricks token opens the app"),
        ({}, f"?api_key={PLATFORM}", "The Databricks token opens the app"),
        ({}, "", "MetaMCP asks for an API key of its own"),
        ({"X-API-Key": ""}, "", "X-API-Key: sk_mt_..."),
    ],
)
def test_what_is_missing_is_said(app: App, headers: dict[str, str], query: str, says: str) -> None:
    answer = app.get(f"/metamcp/tools/mcp{query}", headers=headers)
    body = answer.json()
    assert (answer.status_code, body["error"]) == (401, "authentication_required")
    assert says in body["message"]
    assert answer.headers["www-authenticate"] == 'Bearer realm="MetaMCP"'


def test_a_key_in_the_url_lasts_for_the_whole_sse_session(app: App) -> None:
    headers = {"Authorization": f"Bearer {PLATFORM}"}
    with app.get(f"/metamcp/tools/sse?api_key={KEY}", headers=headers, stream=True) as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)  # where it ends, the connection ends
        endpoint, message = event(lines), event(lines)
        assert endpoint == f"event: endpoint\ndata: /metamcp/tools/message?sessionId=s-1&api_key={KEY}"
        assert message == f'event: message\ndata: {{"key":"{KEY}"}}'
        posted = app.get(endpoint.rpartition(" ")[2], headers=headers).json()
        assert posted["url"] == "/metamcp/tools/message?sessionId=s-1"
        assert posted["headers"]["x-api-key"] == KEY
    with app.get("/metamcp/tools/sse", headers={"X-API-Key": KEY}, stream=True) as stream:
        assert "api_key" not in event(stream.iter_lines(chunk_size=1, decode_unicode=True))


def event(lines: Iterator[str]) -> str:
    """The next one of a stream."""
    return "\n".join(iter(lambda: next(lines), ""))
