"""A session answers only the endpoint and the credential that opened it, and nobody sees a list of sessions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.launcher.launcher_app import App, behind_proxy

Launch = Callable[..., App]
MCP = "/metamcp/tools/mcp"
MINE, OTHERS = {"X-API-Key": "sk_mt_mine"}, {"X-API-Key": "sk_mt_others"}
# Finds sessions as the upstream's routers do: by the id alone, with lists in its answers.
BACKEND = r"""
import http from "node:http";
import { randomUUID } from "node:crypto";
const sessions = new Set();
const json = (res, status, value, headers = {}) =>
  res.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
http.createServer((req, res) => {
  const url = new URL(req.url, "http://x");
  if (url.pathname === "/metamcp/health/sessions") return json(res, 200, { sessionIds: [...sessions] });
  if (!/^\/(metamcp|mcp-proxy)\//.test(url.pathname)) return json(res, 200, {});
  if (url.pathname.endsWith("/sse")) {
    const id = randomUUID();
    sessions.add(id);
    res.writeHead(200, { "content-type": "text/event-stream" });
    res.on("close", () => sessions.delete(id));
    return res.write(`event: endpoint\ndata: ${url.pathname.replace("sse", "message")}?sessionId=${id}\n\n`);
  }
  const id = req.headers["mcp-session-id"] ?? url.searchParams.get("sessionId");
  if (!id) {
    const made = randomUUID();
    sessions.add(made);
    return json(res, 200, {}, { "mcp-session-id": made });
  }
  if (req.method === "DELETE") {
    sessions.delete(id);
    return json(res, 200, { message: "cleaned up", remainingSessions: [...sessions] });
  }
  if (!sessions.has(id)) return json(res, 404, { error: "Session not found", available_sessions: [...sessions] });
  json(res, 200, { used: id });
}).listen(Number(process.env.METAMCP_BACKEND_PORT), "127.0.0.1");
"""


def routed(folder: Path) -> None:
    file = folder / "release.json"
    release = json.loads(file.read_text())
    release["routes"].insert(0, {"prefix": "/metamcp", "to": "/metamcp", "exact": False})
    file.write_text(json.dumps(release))


@pytest.fixture
def app(launch: Launch) -> App:
    return behind_proxy(launch)(backend=BACKEND, prepare=routed).up()


def ask(app: App, method: str, path: str, session: str = "", **headers: str) -> requests.Response:
    given = app.proxy | headers | ({"mcp-session-id": session} if session else {})
    return requests.request(method, app.url + path, headers=given, timeout=120)


def opened(app: App, path: str = MCP, **headers: str) -> str:
    return ask(app, "POST", path, **headers).headers["mcp-session-id"]


def refused(answer: requests.Response) -> bool:
    found: dict[str, Any] = answer.json()
    return answer.status_code == 404 and found.get("code") == "session_unknown"


def test_a_session_answers_its_owner_only(app: App) -> None:
    session, kept = opened(app, **MINE), opened(app, **OTHERS)
    assert ask(app, "POST", MCP, session, **MINE).json() == {"used": session}
    for path, headers in (
        (MCP, OTHERS),
        (MCP, {}),
        (MCP, {"Authorization": "Bearer sk_mt_others"}),
        ("/metamcp/others/mcp", MINE),
        ("/metamcp/tools/../others/mcp", MINE),
        ("/METAMCP/others/MCP/", MINE),
        ("/mcp-proxy/server/mcp", MINE),
    ):
        for method in ("POST", "GET", "DELETE"):
            answer = ask(app, method, path, session, **headers)
            assert refused(answer) or answer.json()["code"] == "path_not_plain", (method, path, headers)
    for query in (f"?sessionId={session}", f"?sessionId[]={session}", f"?SESSIONID={session}"):
        assert refused(ask(app, "POST", f"/metamcp/others/message{query}", **MINE))
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x"}
    assert ask(app, "GET", MCP, session, **OTHERS, **upgrade).json()["code"] == "no_websocket"
    assert refused(ask(app, "POST", MCP, "made-up", **MINE))
    ended = ask(app, "DELETE", MCP, session, **MINE)
    assert ended.json() == {"message": "cleaned up"}
    assert refused(ask(app, "POST", MCP, session, **MINE))
    assert ask(app, "POST", MCP, kept, **OTHERS).json() == {"used": kept}


def test_an_event_streams_session_lives_as_long_as_the_stream(app: App) -> None:
    with requests.get(f"{app.url}/metamcp/tools/sse", headers=app.proxy | MINE, stream=True) as stream:
        lines = (line.decode() for line in stream.iter_lines())
        message = next(line for line in lines if line.startswith("data: "))[6:]
        session = message.partition("=")[2]
        assert ask(app, "POST", message, **MINE).json() == {"used": session}
        assert refused(ask(app, "POST", message, **OTHERS))
    app.until(lambda: refused(ask(app, "POST", message, **MINE)))


def test_without_a_key_the_caller_owns_the_session(app: App) -> None:
    me, other = {"X-Forwarded-User": "1@w"}, {"X-Forwarded-User": "2@w"}
    session = opened(app, **me)
    assert ask(app, "GET", MCP, session, **me).json() == {"used": session}
    assert refused(ask(app, "GET", MCP, session, **other))
    inspector = "/mcp-proxy/server/mcp"
    cookie = {"Cookie": "x=1; __Secure-better-auth.session_token=mine; y=2"}
    session = opened(app, inspector, **cookie)
    assert ask(app, "GET", inspector, session, Cookie="__Secure-better-auth.session_token=mine").ok
    assert refused(ask(app, "GET", inspector, session, Cookie="__Secure-better-auth.session_token=others"))


def test_no_list_of_sessions(app: App) -> None:
    session = opened(app, **MINE)
    for path in (
        "/metamcp/health/sessions",
        "/metamcp//health/sessions/",
        "/metamcp/health%2fsessions",
        "/metamcp/health/sessions#",
    ):
        answer = ask(app, "GET", path, **MINE)
        assert session not in answer.text, path
    assert ask(app, "GET", "/metamcp/health/sessions").json()["code"] == "sessions_closed"
