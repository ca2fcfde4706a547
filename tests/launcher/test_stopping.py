"""How it ends: requests finish, streams are cut, nothing stays behind, whoever dies first."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from tests.launcher.launcher_app import LAUNCHER, App

Launch = Callable[..., App]


def sessions_alive(*sids: int) -> list[int]:
    """Processes in the sessions, zombies aside."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z" and int(fields[3]) in sids:
                found.append(int(entry.name))
    return found


def below(pid: int) -> list[int]:
    """Sessions of a process and of all that descends from it."""
    found, sids = [pid], set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) in found:
                found.append(int(entry.name))
                sids.add(int(fields[3]))
    return [*{pid, *sids}]


def services(app: App) -> list[int]:
    """The launcher's children; each leads a session."""
    text = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(app.process.pid)], capture_output=True, text=True
    ).stdout
    return [int(word) for word in text.split()]


def test_ends_at_once_when_nothing_is_under_way(launch: Launch) -> None:
    app = launch().up()
    started = services(app)
    assert len(started) == 2
    assert app.stop() < 4
    assert app.process.returncode == 0
    assert sessions_alive(*started) == []


@contextmanager
def stopping_amid_a_request(app: App) -> Iterator[None]:
    """SIGTERM while a request is under way, which is answered after the block, before the launcher ends."""
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(app.get("/api/slow?ms=1500").text))
    slow.start()
    time.sleep(0.3)
    app.process.send_signal(signal.SIGTERM)
    app.logged("SIGTERM: stopping")
    yield
    slow.join()
    assert answers == ["done"]
    assert app.process.wait(60) == 0


def test_requests_finish_and_new_ones_are_told(launch: Launch) -> None:
    app = launch().up()
    with stopping_amid_a_request(app):
        assert app.get("/").json()["status"] == "stopping"


def test_streams_are_cut_after_five_seconds(launch: Launch) -> None:
    app = launch().up()
    stream = app.get("/api/sse", stream=True)
    waiting = socket.create_connection(("127.0.0.1", app.port))
    waiting.sendall(b"GET /api/slow?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
    lines = stream.iter_lines()
    next(lines)
    began = time.monotonic()
    app.process.send_signal(signal.SIGTERM)
    try:
        for _ in lines:
            pass
    except requests.RequestException:
        pass
    assert 4.5 < time.monotonic() - began < 9
    assert app.process.wait(60) == 0
    assert time.monotonic() - began < 10
    waiting.close()


def test_requests_that_wait_behind_others_do_not_hold_the_end_up(launch: Launch) -> None:
    app = launch().up()
    with socket.create_connection(("127.0.0.1", app.port)) as waiting:
        waiting.sendall(b"GET /api/slow?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        time.sleep(0.3)
        assert app.stop() < 40
    assert app.process.returncode == 0


def test_a_second_signal_does_not_cut_the_end_short(launch: Launch) -> None:
    app = launch().up()
    started = services(app)
    with stopping_amid_a_request(app):
        app.process.send_signal(signal.SIGINT)
    assert "SIGINT" not in app.log
    assert sessions_alive(*started) == []


def test_the_end_is_bounded_whatever_a_request_does(node: Path) -> None:
    code = f"""
    import {{ Launcher }} from {json.dumps((LAUNCHER / "launcher.mjs").as_uri())};
    const launcher = new Launcher({{ env: {{}}, secrets: {{}}, withheld: [], root: "." }});
    launcher.proxy.drain = () => new Promise(() => {{}});
    const held = setInterval(() => {{}}, 1000);
    await launcher.stop("SIGTERM");
    clearInterval(held);
    console.log(Math.round(performance.now()));
    """
    argv = [node, "--input-type=module", "-e", code]
    done = subprocess.run(argv, env={}, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout.split()[-1]) < 9_500


def test_detached_children_that_ignore_sigterm_end_too(launch: Launch) -> None:
    app = launch().up()
    sid = app.get("/api/spawn").json()
    app.until(lambda: len(below(sid)) >= 2)
    sids = below(sid)
    assert len(sessions_alive(*sids)) >= 3
    assert app.stop() < 5
    assert sessions_alive(*sids) == []


def test_children_of_a_killed_backend_end_before_the_next_one_starts(launch: Launch) -> None:
    app = launch().up()
    sid = app.get("/api/spawn").json()
    backend = int(Path(f"/proc/{sid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(backend, signal.SIGKILL)
    app.away_at("/api/x")
    app.up()
    assert sessions_alive(sid, backend) == []
    assert "The backend was ended by SIGKILL" in app.log


def test_children_of_a_leader_that_is_gone_are_found_by_their_session(launch: Launch) -> None:
    app = launch().up()
    sid = app.get("/api/spawn").json()
    app.until(lambda: len(below(sid)) >= 2)
    os.kill(sid, signal.SIGKILL)
    assert sessions_alive(sid)
    app.stop()
    assert sessions_alive(sid) == []


def children(pid: int) -> list[int]:
    argv = ["ps", "-o", "pid=", "--ppid", str(pid)]
    return [int(word) for word in subprocess.run(argv, capture_output=True, text=True).stdout.split()]


def test_servers_of_a_session_that_was_closed_end_while_the_app_runs(launch: Launch) -> None:
    app = launch().up()
    closed, kept = app.get("/api/spawn").json(), app.get("/api/spawn").json()
    app.until(lambda: len(below(closed)) >= 2 and len(below(kept)) >= 2)
    sids, others = below(closed), below(kept)
    began = time.monotonic()
    assert app.get(f"/api/close?pid={closed}").json() is True
    assert len(sessions_alive(*sids)) >= 3, "they ignore it"
    app.until(lambda: not sessions_alive(*sids), 60)
    assert time.monotonic() - began > 4, "they had time to end by themselves"
    assert len(sessions_alive(*others)) >= 3
    assert app.get("/health").status_code == 200


def test_what_a_closed_server_left_in_the_services_own_session_ends(launch: Launch) -> None:
    app = launch().up()
    pid = app.get("/api/alone").json()
    (left,) = app.until(lambda: children(pid))
    app.get(f"/api/close?pid={pid}")
    app.until(lambda: not Path(f"/proc/{pid}").exists())
    assert Path(f"/proc/{left}").exists()
    app.until(lambda: not Path(f"/proc/{left}").exists(), 60)
    assert app.get("/health").status_code == 200
    assert "backend was ended" not in app.log


def test_a_grandchild_in_a_session_of_its_own_ends_with_the_service(launch: Launch) -> None:
    app = launch().up()
    sid = app.get("/api/spawn").json()
    app.until(lambda: len(below(sid)) >= 2)
    sids = below(sid)
    time.sleep(6)  # until the launcher has seen it once
    for pid in sessions_alive(sid):
        with suppress(ProcessLookupError):  # it ends with another of them
            os.kill(pid, signal.SIGKILL)
    assert sessions_alive(*sids), "its parent is gone"
    assert app.stop() < 5
    assert sessions_alive(*sids) == []


SESSIONS = """
import {{ spawn }} from "node:child_process";
import fs from "node:fs";
import {{ setTimeout as sleep }} from "node:timers/promises";
import {{ Family }} from {module};
const family = new Family();
const child = spawn("sleep", ["60"], {{ detached: true }});
family.leads(child.pid);
const before = family.members().length;
// To /proc it looks as if the number had been given to another program since.
const {{ readFileSync }} = fs;
fs.readFileSync = (file, ...more) => {{
  const text = readFileSync(file, ...more);
  if (file !== `/proc/${{child.pid}}/stat`) return text;
  const fields = text.split(" ");
  fields[21] = String(Number(fields[21]) + 1);
  return fields.join(" ");
}};
const after = family.members().length;
const killed = await family.end(50);
fs.readFileSync = readFileSync;
console.log(JSON.stringify([before, after, killed, child.exitCode ?? child.signalCode]));
child.kill();
"""


def test_a_session_whose_number_went_to_another_is_left_alone(node: Path) -> None:
    code = SESSIONS.format(module=json.dumps((LAUNCHER / "processes.mjs").as_uri()))
    argv = [node, "--input-type=module", "-e", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1, 0, 0, None]


def test_nothing_outlives_a_killed_launcher(launch: Launch) -> None:
    app = launch().up()
    sid = app.get("/api/spawn").json()
    app.until(lambda: len(below(sid)) >= 2)
    ended = [*below(sid), *services(app)]
    app.process.kill()
    app.process.wait()
    deadline = time.monotonic() + 120
    while sessions_alive(*ended) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sessions_alive(*ended) == []


def test_stopping_while_it_starts(launch: Launch) -> None:
    app = launch(migrate="setTimeout(() => {}, 60000);")
    app.logged("Applying database migrations")
    started = services(app)
    assert app.stop() < 8
    assert sessions_alive(*started) == []


def test_stopping_between_two_attempts(launch: Launch) -> None:
    app = launch(env={"PGHOST": None})
    app.away()
    assert app.stop() < 4
    assert app.process.returncode == 0


def test_how_long_a_service_that_dies_is_waited_for(node: Path) -> None:
    module = json.dumps((LAUNCHER / "services/backoff.mjs").as_uri())
    cases = [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2, 3, 4, 400_000]]
    code = f"import {{ backoff }} from {module};"
    code += f"console.log(JSON.stringify({cases}.map((deaths) => backoff(deaths, deaths.at(-1) ?? 0))));"
    done = subprocess.run(
        [node, "--input-type=module", "-e", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [1000, 1000, 2000, 4000, 8000, 60_000, 1000]
