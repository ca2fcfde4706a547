"""Which MCP sessions the launcher ends, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.launcher.launcher_app import App
from tests.launcher.test_limits import said

SCENE = """
  let now = 0;
  let tight = false;
  const ended = [];
  const sessions = new Sessions(() => now);
  const end = ({ id, router, endpoint }) => ended.push(router ? [id, router, endpoint].join(" ") : id);
  const idle = new IdleSessions({ sessions, seconds: given, end, scarce: () => tight });
  const at = (seconds) => { now = seconds * 1000; idle.sweep(); };
"""
HOURS = 3600


@pytest.mark.parametrize(
    ("given", "scarce", "first"),
    [("", "false", 4 * HOURS), ("7200", "false", 2 * HOURS), ("", "true", HOURS // 2), ("600", "true", 600)],
)
def test_how_long_a_session_may_be_idle(node: Path, given: str, scarce: str, first: int) -> None:
    code = f"""const given = {given!r};{SCENE} tight = {scarce};
      sessions.opened("left", {{ owner: "o", path: "/metamcp/a%20B/mcp" }});
      sessions.opened("streaming", {{ owner: "o", path: "/metamcp/x/mcp" }});
      sessions.opened("used", {{ owner: "o", path: "/metamcp/x/mcp" }});
      sessions.seen("streaming");
      at({first - 1});
      sessions.seen("used")();
      const before = [...ended];
      at({first}); at({first + 1});
      console.log(JSON.stringify([before, ended, sessions.belongsTo("left", "o"), sessions.size]));
    """
    found = said(node, code, IdleSessions="proxy/idle-sessions.mjs", Sessions="proxy/sessions.mjs")
    assert found == [[], ["left public-metamcp/streamable-http a B"], False, 2]


def test_zero_is_never(node: Path) -> None:
    code = f"""const given = "0";{SCENE} tight = true;
      sessions.opened("left", {{ owner: "o", path: "/metamcp/x/mcp" }});
      at(1e9);
      console.log(JSON.stringify(ended));
    """
    assert said(node, code, IdleSessions="proxy/idle-sessions.mjs", Sessions="proxy/sessions.mjs") == []


@pytest.mark.parametrize(
    ("path", "router"),
    [
        ("/metamcp/tools/mcp", "public-metamcp/streamable-http"),
        ("/MetaMCP/tools/MCP/", "public-metamcp/streamable-http"),
        ("/metamcp/sse/mcp", "public-metamcp/streamable-http"),
        ("/metamcp/mcp/sse", "public-metamcp/sse"),
        ("/mcp-proxy/metamcp/0f8f/mcp", "mcp-proxy/metamcp"),
        ("/mcp-proxy/server/mcp", "mcp-proxy/server"),
        ("/mcp-proxy/server/stdio", "mcp-proxy/server"),
    ],
)
def test_the_router_that_holds_a_session(node: Path, path: str, router: str) -> None:
    code = f"""const given = "1";{SCENE}
      sessions.opened("left", {{ owner: "o", path: {path!r} }});
      at(1);
      console.log(JSON.stringify(ended[0].split(" ")[1]));
    """
    assert said(node, code, IdleSessions="proxy/idle-sessions.mjs", Sessions="proxy/sessions.mjs") == router


BACKEND = r"""
import http from "node:http";
const sessions = new Set();
const said = [];
const hand = globalThis[Symbol.for("metamcp-deploy.session-ends")];
hand.set("public-metamcp/streamable-http", async (id, endpoint) => {
  sessions.delete(id);
  said.push([id, endpoint]);
  if (id === "s2") throw new Error("it does not end well");
});
let count = 0;
http.createServer((req, res) => {
  const id = req.headers["mcp-session-id"];
  if (req.url === "/api/die") process.exit(3);
  if (req.url === "/api/said") return res.end(JSON.stringify(said));
  if (req.method === "GET" && sessions.has(id)) {
    res.writeHead(200, { "content-type": "text/event-stream" });
    return res.flushHeaders();
  }
  if (id && !sessions.has(id)) return res.writeHead(404).end();
  if (!id && req.url === "/metamcp/tools/mcp") {
    sessions.add(`s${++count}`);
    res.setHeader("mcp-session-id", `s${count}`);
  }
  res.end("{}");
}).listen(Number(process.env.METAMCP_BACKEND_PORT), "127.0.0.1");
"""


def test_the_backend_ends_what_the_launcher_names(launch: Callable[..., App]) -> None:
    app = launch(backend=BACKEND, env={"METAMCP_SESSION_IDLE": "3"}).up()
    url = f"{app.url}/metamcp/tools/mcp"

    def opened() -> str:
        return requests.post(url).headers["mcp-session-id"]

    def status(session: str) -> int:
        return requests.post(url, headers={"mcp-session-id": session}).status_code

    stays = opened()
    stream = requests.get(url, headers={"mcp-session-id": stays}, stream=True, timeout=60)
    assert stream.status_code == 200
    left = [opened(), opened()]
    app.until(lambda: len(app.get("/api/said").json()) == 2)
    assert sorted(app.get("/api/said").json()) == [[session, "tools"] for session in left]
    assert [status(session) for session in (stays, *left)] == [200, 404, 404]
    stream.close()
    app.until(lambda: [stays, "tools"] in app.get("/api/said").json())
    app.logged("Session s2 was not ended: it does not end well")
    assert "MCP sessions without a request or an open stream for 3 s" in app.log


def test_sessions_of_a_backend_that_died_are_forgotten(launch: Callable[..., App]) -> None:
    app = launch(backend=BACKEND, env={"METAMCP_SESSION_IDLE": "4"}).up()
    for _ in range(2):
        requests.post(f"{app.url}/metamcp/tools/mcp")
    app.get("/api/die")
    app.until(lambda: app.log.count("backend is up after") == 2)
    fresh = requests.post(f"{app.url}/metamcp/tools/mcp").headers["mcp-session-id"]
    app.until(lambda: app.get("/api/said").json())
    assert app.get("/api/said").json() == [[fresh, "tools"]]
    assert app.log.count("Ended MCP sessions") == 1
