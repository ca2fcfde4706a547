"""Memory of a deployed MetaMCP: idle, after many MCP tool calls, and what a session and a stdio MCP server cost.

    python -m benchmarks.memory [--project FOLDER] [--calls 10000] [--sessions 40]

The folder is one where the upstream has been built (it is deployed again, in its embedded workspace, and taken down
afterwards); without it METAMCP_TEST_UPSTREAM is built in a folder of its own, which takes some minutes.

PSS counts memory that several processes share once, in parts; so it depends on how many other Node programs run on the
machine, and growth is measured on private memory (USS). Everything is measured at rest: a while after the last request,
since V8 gives memory back when nothing happens.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.upstream import REF, clone, environment
from tests.live.gateway import Client, Gateway
from tests.live.live_app import OWNER, LiveApp

IDLE_MB, GROWTH = 220, 1.2
REST_S = 30
HELLO = {
    "protocolVersion": "2025-03-26",
    "capabilities": {},
    "clientInfo": {"name": "memory", "version": "1"},
}
MB = 1e6


def measured(app: LiveApp, rest: float = REST_S) -> dict[str, float]:
    """MB of PSS by process; MCP servers together, and how many they are."""
    time.sleep(rest)
    launcher = app.launcher()
    services = launcher.children()
    found = {"launcher": pss(launcher)}
    for service in services:
        name = "frontend" if "next" in " ".join(service.cmdline()) else "backend"
        found[name] = pss(service)
    below = [p for service in services for p in service.children(recursive=True)]
    own = sum(found.values())
    private = sum(p.memory_full_info().uss for p in (launcher, *services)) / MB
    servers = sum(p.memory_full_info().uss for p in below) / MB
    return {**found, "all": own, "private": private, "servers": servers, "count": float(len(below))}


def pss(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss) / MB


def shown(label: str, found: dict[str, float]) -> None:
    parts = " + ".join(f"{name} {found[name]:.0f}" for name in ("launcher", "backend", "frontend"))
    print(
        f"{label:<28} {found['all']:6.0f} MB ({parts}); {found['count']:.0f} MCP servers {found['servers']:.0f} MB",
        flush=True,
    )


def calls(client: Client, tool: str, count: int) -> float:
    """Calls a tool so often; seconds."""
    began = time.perf_counter()
    for number in range(count):
        text = f"call {number}"
        assert client.use(tool, text=text) == f"echo {text}"
    return time.perf_counter() - began


def opened(app: LiveApp, gateway: Gateway, name: str, key: str) -> Client:
    client = Client(f"{app.url}/metamcp/{name}/mcp", gateway.token, key)
    client.call("initialize", HELLO)
    client.call("notifications/initialized", notify=True)
    client.call("tools/list")
    return client


def run(app: LiveApp, count: int, sessions: int) -> bool:
    app.deploy({"operators": [OWNER]})
    idle = measured(app)
    shown("idle", idle)
    gateway = Gateway(app.url, app.workspace_token())
    gateway.enter()
    name = f"tools-{secrets.token_hex(3)}"
    key = gateway.make_endpoint(app.folder, name)
    client = opened(app, gateway, name, key)
    tool = next(t["name"] for t in client.call("tools/list")["tools"] if "__" in t["name"])
    calls(client, tool, count // 10)
    first = measured(app)
    shown(f"after {count // 10} calls", first)
    seconds = calls(client, tool, count - count // 10)
    last = measured(app)
    shown(f"after {count} calls", last)
    print(f"{(count - count // 10) / seconds:.0f} calls a second, one after the other")
    clients = [opened(app, gateway, name, key) for _ in range(sessions)]
    held = measured(app)
    shown(f"with {len(clients)} more sessions", held)
    own, servers = held["private"] - last["private"], held["servers"] - last["servers"]
    more = held["count"] - last["count"]
    print(
        f"a session costs {own / sessions:.1f} MB of MetaMCP's; it starts {more / sessions:.1f} MCP servers"
    )
    if more:
        print(f"a stdio MCP server (a page of Python) costs {servers / more:.1f} MB of its own")
    ratio = last["private"] / first["private"]
    print(f"idle {idle['all']:.0f} MB, at most {IDLE_MB}; growth {ratio:.2f} x, at most {GROWTH}")
    return idle["all"] <= IDLE_MB and ratio <= GROWTH


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--project", type=Path)
    options.add_argument("--calls", type=int, default=10_000)
    options.add_argument("--sessions", type=int, default=40)
    given = options.parse_args()
    upstream = {"url": str(clone()), "ref": REF}
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named:
        env = environment(Path(named))
        if cache := os.environ.get("METAMCP_CACHE_DIR"):
            env["METAMCP_CACHE_DIR"] = cache
        env = {k: v for k, v in env.items() if k not in ("METAMCP_REPO_URL", "METAMCP_REF")}
        folder = given.project or Path(named) / "work"
        folder.mkdir(parents=True, exist_ok=True)
        app = LiveApp(folder.absolute(), env, upstream)
        try:
            good = run(app, given.calls, given.sessions)
        finally:
            app.tool("local", "down")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
