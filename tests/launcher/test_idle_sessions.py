"""Which MCP sessions the launcher ends, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

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
