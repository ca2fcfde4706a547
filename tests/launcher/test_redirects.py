"""Redirects that a service makes to its own address: nobody outside could follow them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.launcher.launcher_app import App

FRONTEND = r"""
import http from "node:http";
const hosts = ["http://localhost", "https://localhost", "http://127.0.0.1", "http://[::1]"];
const origins = hosts.map((host) => `${host}:${process.env.PORT}`);
const places = {
  ...Object.fromEntries(origins.map((origin, n) => [`/own/${n}`, `${origin}/en/login?next=%2F`])),
  "/bare": origins[0],
  "/query": `${origins[0]}?a=1`,
  "/path": "/en",
  "/else": "https://accounts.example.com/login",
  "/longer": `${origins[0]}0/x`,
};
http.createServer((req, res) => {
  if (!places[req.url]) return res.end("ok");
  res.writeHead(307, { location: places[req.url] });
  res.end();
}).listen(process.env.PORT, process.env.HOSTNAME);
"""


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        *((f"/own/{n}", "/en/login?next=%2F") for n in range(4)),
        ("/bare", "/"),
        ("/query", "/?a=1"),
        ("/path", "/en"),
        ("/else", "https://accounts.example.com/login"),
    ],
)
def test_a_redirect_to_the_service_itself_leads_to_its_path(
    launch: Callable[..., App], path: str, leads_to: str
) -> None:
    app = launch(frontend=FRONTEND).up()
    assert app.get(path).headers["location"] == leads_to


def test_another_port_is_another_place(launch: Callable[..., App]) -> None:
    app = launch(frontend=FRONTEND).up()
    assert app.get("/longer").headers["location"].startswith("http://localhost:")
