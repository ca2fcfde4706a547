"""200 MCP sessions in a container of 1 GB, really limited: what clients, `health` and `logs` say at the limit.

Needs METAMCP_TEST_UPSTREAM, root, and the kernel's memory controller (version 1). With `TRIALS_UNSHARED=1 unshare
-m --propagation private …` the launcher sees the limit, as in a container; otherwise it believes in its compute size.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from tests.faults.trials.bench import Bench, say
from tests.faults.trials.scratch import services, token, url
from tests.live.gateway import SERVER, Client, Gateway

SESSIONS = 200
LIMIT = 1 << 30
EACH = 6 << 20  # bytes that each server holds beside Python itself
HELLO = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "trial", "version": "1"}}
LIMITS = "memory.limit_in_bytes"
GROUP = Path(f"/sys/fs/cgroup/memory/metamcp-trial-{os.getpid()}")


def run(bench: Bench) -> None:
    upstream = os.environ.get("METAMCP_TEST_UPSTREAM")
    if upstream:
        bench.env |= {"METAMCP_REPO_URL": upstream, "METAMCP_REF": "v2.4.22"}
    else:
        bench.sample()
    bench.hold(
        bench.tool("deploy", "-t", "local", "--set", "app.session_idle=120").code == 0, "no deployment"
    )
    GROUP.mkdir()
    (GROUP / LIMITS).write_text(str(LIMIT))
    known()
    daemon = int(bench.status()["pid"])
    try:
        bench.tool("stop", "-t", "local")
        moved(daemon)
        bench.hold(bench.tool("start", "-t", "local").code == 0, "no start")
        (GROUP.parent / "cgroup.procs").write_text(str(daemon))
        trial(bench)
    finally:
        bench.tool("local", "down", shown=False)
        time.sleep(1)
        left = (GROUP / "cgroup.procs").read_text().split()
        bench.hold(not left, f"{len(left)} processes are left")
        for pid in left:
            (GROUP.parent / "cgroup.procs").write_text(pid)
        GROUP.rmdir()


def known() -> None:
    """Puts the group's limit where a container has its own, in a mount namespace of the trial's."""
    if os.environ.get("TRIALS_UNSHARED"):
        subprocess.run(["mount", "--bind", str(GROUP / LIMITS), str(GROUP.parent / LIMITS)], check=True)


def said(error: Exception) -> str:
    """The code of an answer, or the error's first words."""
    words = error.args[0] if error.args and isinstance(error.args[0], tuple) else error.args
    try:
        return f"{words[0]}: {json.loads(words[-1])['code']}"
    except (ValueError, LookupError, TypeError):
        return f"{type(error).__name__}: {str(error)[:100]}"


def moved(pid: int) -> None:
    (GROUP / "cgroup.procs").write_text(str(pid))


def used() -> str:
    stat = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
    failed = (GROUP / "memory.oom_control").read_text().split()
    return f"rss {int(stat['total_rss']) / 1e6:.0f} MB, limit {LIMIT / 1e6:.0f} MB, {' '.join(failed)}"


def trial(bench: Bench) -> None:
    at, bearer = url(bench), token(bench)["Authorization"].split()[1]
    gateway = Gateway(at, bearer)
    gateway.sign_up()
    held = f"held = bytearray(b'x' * {EACH})\n"
    key = gateway.make_endpoint(bench.folder, source=held + SERVER)
    outcome: Counter[str] = Counter()

    def one(number: int) -> Client | None:
        client = Client(f"{at}/metamcp/tools/mcp", bearer, key)
        try:
            client.call("initialize", HELLO)
            client.call("notifications/initialized", notify=True)
            client.call("tools/list")
        except Exception as e:
            outcome[said(e)] += 1
            return None
        outcome["opened"] += 1
        return client

    began = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        clients = list(pool.map(one, range(SESSIONS)))
    say(f"{time.monotonic() - began:.0f} s: {dict(outcome)}; {used()}; {running(bench)}")
    health = bench.tool("health", "-t", "local")
    bench.hold(health.code == 0 or health.error.get("hint"), "health names no next step")
    lines = bench.lines()
    told = [
        line[-220:] for line in lines if any(w in line.lower() for w in ("of memory", "killed", "sigkill"))
    ]
    say(f"log about memory: {told[-8:]}")
    bench.hold(told, "the log says nothing of memory")
    alive = 0
    for client in filter(None, clients):
        try:
            client.call("tools/list")
            alive += 1
        except Exception as e:
            outcome[f"later: {said(e)}"] += 1
    say(f"{alive} sessions answer afterwards: {dict(outcome)}")
    bench.hold(alive == outcome["opened"], f"{outcome['opened'] - alive} open sessions were lost")
    time.sleep(160)  # longer than app.session_idle
    say(f"after the idle time: {used()}; {running(bench)}")
    outcome.clear()
    again = one(1000)
    bench.hold(again, f"no new session after the idle time: {dict(outcome)}")
    bench.hold(bench.tool("health", "-t", "local").code == 0, "not healthy in the end")


def running(bench: Bench) -> str:
    found = services(bench)
    backend = found.get("backend")
    servers = len(backend.children(recursive=True)) if backend else 0
    sizes = {
        name: f"{one.memory_info().rss / 1e6:.0f} MB"
        for name, one in found.items()
        if psutil.pid_exists(one.pid)
    }
    return f"{servers} servers, {sizes}"
