"""Calls of a service to the app's own public URL, where only a login page would answer, reach the service itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.launcher_app import App

Launch = Callable[..., App]

# Asks as upstream does: with a Request object (introspection), with a URL object and headers (the MCP client).
BACKEND = r"""
import http from "node:http";
const own = process.env.APP_URL;
const asks = {
  introspection: () => fetch(new Request(`${own}/oauth/introspect`, { method: "POST",
    headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: "mcp_token_x" }) })),
  mcp: () => fetch(new URL(`${own}/metamcp/tools/mcp?x=%2F`), { method: "POST", body: "{}",
    headers: new Headers({ authorization: "Bearer sk_mt_x" }) }),
  text: () => fetch(`${own}/.well-known/oauth-authorization-server`),
  people: () => fetch(`${own}/mcp-proxy/server/stdio`),
  page: () => fetch(own),
  redirect: () => fetch(`${own}/oauth/moved`).then((r) => ({ json: () => ({ status: r.status }) })),
  longer: () => fetch(`${own}.evil.example.com/metamcp`),
};
http.createServer(async (req, res) => {
  const ask = asks[req.url.slice("/api/".length)];
  const location = `http://${req.headers.host}/elsewhere`;
  if (req.url === "/oauth/moved") return res.writeHead(302, { location }).end();
  let body = "";
  for await (const chunk of req) body += chunk;
  if (ask) {
    const answer = await ask().then((r) => r.json(), (e) => ({ error: e.cause?.code ?? e.message }));
    return res.end(JSON.stringify(answer));
  }
  res.end(JSON.stringify({ method: req.method, url: req.url, authorization: req.headers.authorization, body }));
}).listen(Number(process.env.METAMCP_BACKEND_PORT), "127.0.0.1");
"""


def routed(folder: Path) -> None:
    file = folder / "release.json"
    release = json.loads(file.read_text())
    own = [{"prefix": path, "to": path, "exact": False} for path in ("/metamcp", "/oauth", "/.well-known")]
    file.write_text(json.dumps(release | {"routes": [*own, *release["routes"]]}))


@pytest.fixture
def ask(launch: Launch) -> Callable[[str], dict[str, Any]]:
    # Nobody can resolve names below .invalid: what leaves the app fails.
    app = launch(backend=BACKEND, prepare=routed, env={"APP_URL": "https://tiny.invalid"}).up()

    def asked(what: str) -> dict[str, Any]:
        found: dict[str, Any] = app.get(f"/api/{what}").json()
        return found

    return asked


def test_programs_calls_stay_inside(ask: Callable[[str], dict[str, Any]]) -> None:
    found = ask("introspection")
    assert (found["method"], found["url"], found["body"]) == (
        "POST",
        "/oauth/introspect",
        '{"token":"mcp_token_x"}',
    )
    found = ask("mcp")
    assert (found["url"], found["authorization"]) == ("/metamcp/tools/mcp?x=%2F", "Bearer sk_mt_x")
    assert ask("text")["url"] == "/.well-known/oauth-authorization-server"
    assert ask("redirect") == {"status": 302}  # not followed: a request inside proves who sends it


@pytest.mark.parametrize("what", ["people", "page", "longer"])
def test_everything_else_goes_out(ask: Callable[[str], dict[str, Any]], what: str) -> None:
    assert ask(what)["error"] in ("ENOTFOUND", "EAI_AGAIN")
