"""Failures of MetaMCP's services, and of what it serves."""

from __future__ import annotations

import signal

import psutil

from tests.doctor.provoking.case import case
from tests.doctor.provoking.scene import SCHEMA, Scene, until

# A stdio server with one tool.
WORKING = """\
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  const answers = {
    initialize: { protocolVersion: params?.protocolVersion, capabilities: { tools: {} },
      serverInfo: { name: "works", version: "1" } },
    "tools/list": { tools: [{ name: "ping", inputSchema: { type: "object" } }] },
  };
  if (id !== undefined) console.log(JSON.stringify({ jsonrpc: "2.0", id, result: answers[method] ?? {} }));
});
"""


@case("service-died")
def front_end_ended(scene: Scene) -> None:
    end(scene, "frontend", signal.SIGTERM)


@case("service-died")
def backend_ended(scene: Scene) -> None:
    end(scene, "backend", signal.SIGTERM)


@case("out-of-memory")
def backend_killed_again_and_again(scene: Scene) -> None:
    for _ in range(3):
        end(scene, "backend", signal.SIGKILL)


@case("front-end-silent")
def front_end_hangs(scene: Scene) -> None:
    hang(scene, "frontend")


@case("backend-silent")
def backend_hangs(scene: Scene) -> None:
    hang(scene, "backend")


@case("tools-list-slow")
def server_never_answers(scene: Scene) -> None:
    server(scene, "silent", "sleep", ["300"])


@case("endpoint-fails")
def server_cannot_be_started(scene: Scene) -> None:
    server(scene, "absent", "no-such-program", [])


@case("server-stays-in-error", only="upstream")
def server_given_up(scene: Scene) -> None:
    server(scene, "broken", "false", [])
    scene.sql("UPDATE {schema}.mcp_servers SET error_status = 'ERROR' WHERE name = 'broken'")


def end(scene: Scene, name: str, how: int) -> None:
    """A service ends, and the launcher starts it again."""
    before = scene.inside()["services"][name]
    psutil.Process(before["pid"]).send_signal(how)
    scene.later(lambda: forget(scene))

    def back() -> bool:
        now = scene.inside()["services"][name]
        return bool(now["up"] and now["pid"] != before["pid"])

    until(back, 60)


def forget(scene: Scene) -> None:
    """A death stays in the launcher's memory for fifteen minutes; a new start has none."""
    if scene.inside()["services"]["backend"]["deaths"] or scene.inside()["services"]["frontend"]["deaths"]:
        scene.restart()


def hang(scene: Scene, name: str) -> None:
    process = scene.service(name)
    scene.later(lambda: forget(scene))
    scene.later(lambda: wake(process))
    process.send_signal(signal.SIGSTOP)


def wake(process: psutil.Process) -> None:
    if process.is_running():
        process.send_signal(signal.SIGCONT)


def server(scene: Scene, name: str, command: str, args: list[str]) -> None:
    """An open endpoint whose namespace has one stdio server."""
    listed = ", ".join("$text$" + a + "$text$" for a in args)
    scene.later(lambda: unserve(scene, name))
    columns, values = ("", "") if scene.upstream["ref"].startswith("sample") else (", type", ", 'STDIO'")
    joined = "namespace_servers" if not columns else "namespace_server_mappings"
    scene.raw(
        f"INSERT INTO {SCHEMA}.mcp_servers (name, command, args{columns})"
        f" VALUES ('{name}', '{command}', ARRAY[{listed}]::text[]{values});"
        f"INSERT INTO {SCHEMA}.namespaces (name) VALUES ('{name}');"
        f"INSERT INTO {SCHEMA}.{joined} (namespace_uuid, mcp_server_uuid) SELECT n.uuid, s.uuid"
        f" FROM {SCHEMA}.namespaces n, {SCHEMA}.mcp_servers s WHERE n.name = '{name}' AND s.name = '{name}';"
        f"INSERT INTO {SCHEMA}.endpoints (name, namespace_uuid, enable_api_key_auth)"
        f" SELECT '{name}', uuid, false FROM {SCHEMA}.namespaces WHERE name = '{name}'"
    )


def unserve(scene: Scene, name: str) -> None:
    for table in ("endpoints", "namespaces", "mcp_servers"):
        scene.sql(f"DELETE FROM {SCHEMA}.{table} WHERE name = '{name}'")
