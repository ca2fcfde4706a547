"""Who may call the app's port and the services' ports, and whose word about the caller counts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import EMBEDDED, LAUNCHER, App, behind_proxy

Launch = Callable[..., App]
OPERATOR = {"X-Forwarded-Email": "oncall@example.com"}
# Says of each connection whether its other end belongs to a program that this one sees.
PEERS = r"""
import net from "node:net";
import { isInside } from "%s/proxy/peers.mjs";
const server = net.createServer({ allowHalfOpen: true }, (socket) =>
  socket.once("data", () => setTimeout(() => socket.end(String(isInside(socket))), 50)));
server.listen(0, "0.0.0.0", () => console.log(server.address().port));
"""


def test_the_services_ports_answer_only_the_launcher(launch: Launch) -> None:
    app = launch().up()
    front = app.get("/").json()
    ports = {app.get("/api/env").json()["now"]["METAMCP_BACKEND_PORT"], front["env"]["PORT"]}
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x"}
    for port in ports:
        for headers in ({}, {"X-Metamcp-Start-Secret": "x"}, {"Expect": "100-continue"}, upgrade):
            answer = requests.post(f"http://127.0.0.1:{port}/api/x", headers=headers, data="x", timeout=120)
            assert (answer.status_code, answer.json()["code"]) == (403, "caller_unknown")
    assert not [name for name in front["headers"] if "secret" in name]
    assert not [name for name in app.get("/api/x").json()["headers"] if "secret" in name]
    inner = f"http://127.0.0.1:{front['env']['METAMCP_BACKEND_PORT']}"
    asked = requests.get(f"{inner}/api/auth/get-session", headers={"Cookie": "a=1"}, timeout=120).json()
    assert (asked["service"], asked["url"], asked["headers"]["cookie"]) == (
        "backend",
        "/api/auth/get-session",
        "a=1",
    )
    for path in ("/api/auth/get-session/x", "/api/auth/sign-out", "/trpc/x", "/", "/api/auth/list-sessions"):
        assert requests.get(inner + path, timeout=120).status_code == 403
    assert requests.post(f"{inner}/api/auth/get-session", timeout=120).status_code == 403


def test_where_the_proxy_has_a_secret_nobody_else_is_answered(launch: Launch) -> None:
    app = behind_proxy(launch)(migrate=programs.migrate_failing("x", heals=False))
    app.away()
    assert "error" in app.get("/", headers=OPERATOR).json()
    for headers in ({}, OPERATOR, OPERATOR | {"X-Metamcp-Proxy-Secret": "guessed"}):
        answer = requests.get(app.url, headers=headers, timeout=120)
        assert (answer.status_code, answer.json()["code"]) == (403, "caller_unknown")
    rebound = app.get("/", headers=OPERATOR | {"Host": "evil.example.com"})
    assert (rebound.status_code, rebound.json()["code"]) == (403, "host_unknown")
    assert app.get("/", headers={"Host": "tiny.example.com"}).status_code == 503
    assert str(EMBEDDED["METAMCP_PROXY_SECRET"]) not in app.log
    assert b"METAMCP_PROXY_SECRET" not in Path(f"/proc/{app.process.pid}/environ").read_bytes()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel shows no connections")
def test_a_program_of_the_container_cannot_say_who_calls(launch: Launch) -> None:
    app = launch(migrate=programs.migrate_failing("x", heals=False))
    app.away()
    assert "error" not in app.get("/", headers=OPERATOR).json()


def told(port: int, family: socket.AddressFamily, address: str, *, goes: bool = False) -> str:
    with socket.socket(family) as s:
        s.connect((address, port))
        s.sendall(b"x")
        if goes:
            s.shutdown(socket.SHUT_WR)
        return s.recv(100).decode()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel shows no connections")
def test_a_peer_is_known_by_the_process_that_holds_its_socket(node: Path) -> None:
    apart = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    root = os.getuid() == 0 and shutil.which("unshare")
    for before, inside in (([], "true"), *([(apart, "false")] if root else [])):
        with subprocess.Popen(
            [*before, node, "--input-type=module", "-e", PEERS % LAUNCHER], stdout=subprocess.PIPE
        ) as seen:
            try:
                assert seen.stdout is not None
                line = seen.stdout.readline()
                if before and not line:
                    return  # namespaces are not allowed here
                port = int(line)
                assert told(port, socket.AF_INET, "127.0.0.1") == inside
                assert told(port, socket.AF_INET6, "::ffff:127.0.0.1") == inside
                assert told(port, socket.AF_INET, "127.0.0.1", goes=True) == "true"
            finally:
                seen.kill()
