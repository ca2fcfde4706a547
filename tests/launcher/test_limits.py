"""What is refused before a service reads it, and what happens to a service that uses too much memory."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.launcher.launcher_app import LAUNCHER, App

Launch = Callable[..., App]
MB = 1024**2


def said(node: Path, code: str, **modules: str) -> Any:
    """What a script prints as JSON; `modules` are the launcher's, by what is imported from each."""
    lines = [
        f"import {{ {', '.join(n.split('__'))} }} from {json.dumps((LAUNCHER / p).as_uri())};"
        for n, p in modules.items()
    ]
    program = [node, "--input-type=module", "-e", "\n".join([*lines, code])]
    return json.loads(
        subprocess.run(program, capture_output=True, check=True, timeout=60).stdout.splitlines()[-1]
    )


@pytest.mark.parametrize(
    ("path", "megabytes"),
    [
        ("/metamcp/tools/mcp", 4),
        ("/metamcp/tools/api/x?y", 4),
        ("/METAMCP/tools/mcp", 4),
        ("/mcp-proxy/server/mcp", 4),
        ("/%6detamcp/tools/mcp", 4),
        ("/api/auth/sign-in/email", 1),
        ("/oauth/token", 1),
        ("/trpc/frontend/mcpServers.bulkImport", 50),
        ("/metamcps", 50),
    ],
)
def test_how_large_a_body_may_be(node: Path, path: str, megabytes: int) -> None:
    code = f"""
      const ask = (headers) => bodyLimit({{ headers }}, {path!r});
      console.log(JSON.stringify([ask({{}}).bytes, ask({{ "content-length": "{megabytes * MB}" }}).bytes,
        ask({{ "content-length": "{megabytes * MB + 1}" }}).away?.http]));
    """
    assert said(node, code, bodyLimit="proxy/body-limits.mjs") == [megabytes * MB, megabytes * MB, 413]


def test_bodies_that_are_refused_at_the_door(launch: Launch) -> None:
    app = launch().up()
    for encoding in ("gzip", "deflate", "br", "zstd", "identity, gzip", ""):
        answer = requests.post(f"{app.url}/api/x", data=b"{}", headers={"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()["code"]) == (415, "body_encoded"), encoding
    plain = requests.post(f"{app.url}/api/x", data=b"{}", headers={"Content-Encoding": "Identity"})
    assert plain.json()["body"] == "{}"

    with requests.Session() as client:
        announced = client.post(f"{app.url}/mcp-proxy/x", data=bytes(4 * MB + 1))
        assert (announced.status_code, announced.json()["code"]) == (413, "body_too_large")
        assert "4 MB" in announced.json()["message"]
        assert client.post(f"{app.url}/mcp-proxy/x", data=b"x" * 4 * MB).status_code == 200
        chunked = client.post(f"{app.url}/api/auth/x", data=(b"x" * 65_536 for _ in range(17)))
        assert (chunked.status_code, chunked.headers["connection"]) == (413, "close")
        assert client.post(f"{app.url}/api/auth/x", data=iter([b"x" * MB])).status_code == 200
    assert "Unexpected" not in app.log


def test_a_client_that_waits_or_never_stops_gets_its_413(launch: Launch) -> None:
    app = launch().up()
    head = "POST /api/auth/x HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", app.port), timeout=60) as s:
        s.sendall(f"{head}Content-Length: {2 * MB}\r\nExpect: 100-continue\r\n\r\n".encode())
        first = s.recv(65_536)
        assert first.startswith(b"HTTP/1.1 413 ")
        while s.recv(65_536):
            pass  # the connection ends, although the body never came
    with socket.create_connection(("127.0.0.1", app.port), timeout=60) as s:
        s.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        s.settimeout(0.001)
        seen, gone = b"", False
        while not gone:  # it goes on sending, whatever the answer
            try:
                s.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")
                seen += s.recv(65_536)
            except TimeoutError:
                pass
            except OSError:
                gone = True
        assert seen.startswith(b"HTTP/1.1 413 ")
    assert app.get("/api/x").status_code == 200


def test_memory_is_reported_once_and_ends_in_a_restart(node: Path) -> None:
    code = """
      let uses = 0;
      const events = [];
      const restart = (why) => events.push(why.code);
      const service = { name: "backend", pid: 1, restart, family: { members: () => [{ pid: 2 }] } };
      process.stderr.write = (line) => events.push(line.includes("share") ? "reported" : line);
      const watch = new MemoryWatch(10 * 2 ** 30, { running: () => [service] }, (pid, name) => (name ? all : uses));
      const share = shareOf("backend", 10 * 2 ** 30);
      let all = 0;
      for (const part of [0.5, 0.69, 0.71, 0.8, 0.65, 0.75, 0.55, 0.72, 0.91]) { uses = part * share; watch.check(); }
      const scarce = [watch.scarce];
      uses = 0.71 * share; watch.check(); scarce.push(watch.scarce);
      uses = 0; watch.check(); scarce.push(watch.scarce);
      all = 3.6 * 2 ** 30; scarce.push(watch.scarce);
      console.log(JSON.stringify({ events, scarce, share: share / 2 ** 30 }));
    """
    found = said(node, code, MemoryWatch__shareOf="services/memory.mjs")
    assert found["events"] == ["reported", "reported", "backend_memory", "reported"]
    assert found["scarce"] == [False, True, False, True]
    assert found["share"] == 5


def test_new_sessions_wait_while_all_processes_fill_the_container(node: Path) -> None:
    code = """
      let all = 0;
      let now = 0;
      const events = [];
      process.stderr.write = (line) => events.push(line.includes("new MCP session") ? "full" : line);
      const service = { name: "backend", pid: 1, family: { members: () => [{ pid: 2 }] } };
      const watch = new MemoryWatch(10 * 2 ** 30, { running: () => [service] }, (pid, name) => all, () => now);
      const full = [0.8, 0.86, 0.86, 0.8, 0.7, 0.86].map((part) => {
        all = (part * 10 * 2 ** 30) / 2; // the launcher's and the service's
        now += 1000;
        return watch.full;
      });
      all = 0;
      full.push(watch.full); // measured a moment ago
      const rules = sessionRules(new Sessions(), () => true);
      const asked = (method, path, headers = {}) => rules({ method, headers }, path, headers)?.away?.code ?? "";
      const codes = [
        asked("POST", "/metamcp/tools/mcp"), asked("GET", "/metamcp/tools/sse"), asked("POST", "/mcp-proxy/server/mcp"),
        asked("POST", "/metamcp/tools/api/echo"), asked("GET", "/metamcp/health"), asked("GET", "/"),
        asked("POST", "/metamcp/tools/mcp", { "mcp-session-id": "x" }),
      ];
      console.log(JSON.stringify({ full, codes, events }));
    """
    found = said(
        node,
        code,
        MemoryWatch="services/memory.mjs",
        Sessions="proxy/sessions.mjs",
        sessionRules="proxy/session-rules.mjs",
    )
    assert found["full"] == [False, True, True, True, False, True, True]
    assert found["codes"] == ["memory_full"] * 3 + ["", "", "", "session_unknown"]
    assert found["events"] == ["full", "full"]


def test_the_kernel_ends_an_mcp_server_before_the_backend(node: Path) -> None:
    code = """
      const child = spawn("sleep", ["30"]);
      endFirst(child.pid);
      const score = fs.readFileSync(`/proc/${child.pid}/oom_score_adj`, "utf8").trim();
      child.kill();
      endFirst(0);
      console.log(JSON.stringify(score));
    """
    code = 'import fs from "node:fs"; import { spawn } from "node:child_process";' + code
    assert said(node, code, endFirst="services/memory.mjs") == "500"


def test_a_service_with_buffers_outside_its_heap_is_restarted(node: Path, tmp_path: Path) -> None:
    (tmp_path / "eater.mjs").write_text("""
      import http from "node:http";
      import fs from "node:fs";
      http.createServer((_, response) => response.end()).listen(Number(process.env.PORT), "127.0.0.1");
      const again = fs.existsSync("eaten");
      fs.writeFileSync("eaten", "");
      if (!again) globalThis.kept = Buffer.alloc(400 * 2 ** 20, 1);
    """)
    code = f"""
      const ports = await Ports.choose();
      const argv = [process.execPath, {str(tmp_path / "eater.mjs")!r}];
      const env = () => ({{ PORT: String(ports.backend) }});
      const more = {{ cwd: {str(tmp_path)!r}, ports, ready: "/", renew: () => {{}} }};
      const make = (hold) => new Service({{ name: "backend", argv, env, hold, ...more }});
      const services = new Services();
      await services.run("backend", make, Promise.resolve());
      const watch = new MemoryWatch(1, services); // the least shares
      const states = new Set();
      for (let i = 0; i < 1000 && !(states.has("backend_memory") && states.has("up")); i++) {{
        watch.check();
        states.add(services.portOf("backend") ? "up" : services.away("backend").code);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }}
      await services.stop();
      console.log(JSON.stringify([...states]));
      process.exit(0);
    """
    found = said(
        node,
        code,
        MemoryWatch="services/memory.mjs",
        Ports="services/ports.mjs",
        Service="services/service.mjs",
        Services="services/services.mjs",
    )
    assert "backend_memory" in found
    assert "up" in found
