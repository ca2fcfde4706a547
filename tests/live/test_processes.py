"""No zombie, no orphan: each process is killed in turn, and MCP servers will not end by themselves."""

from __future__ import annotations

import itertools
import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.live.gateway import SERVER, Client, Gateway
from tests.live.live_app import OWNER, LiveApp

# Ignores the end of its input and SIGTERM, and has a child in a session of its own that does, too.
STUBBORN = (
    """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
loop = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(10_000)"
subprocess.Popen([sys.executable, "-c", loop, __file__], start_new_session=True)
"""
    + SERVER
    + """
while True:
    time.sleep(1)
"""
)
OWN_LINE = re.compile(r"(\[MetaMCP\]\[Databricks\]|\[(backend|frontend|migrate)\]) ?")


@pytest.fixture(scope="module")
def app(live: Callable[[], LiveApp]) -> LiveApp:
    return live().deploy({"operators": [OWNER]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the MCP server's file is: its processes have the path among their words."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def client(app: LiveApp, folder: Path) -> Callable[[], Client]:
    """Opens a session at an endpoint with a stubborn MCP server, each its own: upstream puts aside one that crashed."""
    user = Gateway(app.url, app.workspace_token())
    user.enter()
    numbers = itertools.count(1)

    def open_one() -> Client:
        name = f"stubborn-{next(numbers)}"
        return Client(
            f"{app.url}/metamcp/{name}/mcp", user.token, user.make_endpoint(folder, name, source=STUBBORN)
        )

    return open_one


def servers_of(folder: Path) -> list[psutil.Process]:
    """MCP servers and their children, whoever their parent is by now."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if str(folder) in " ".join(p.info["cmdline"] or []) and alive(p)]


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def service(app: LiveApp, name: str) -> psutil.Process:
    children = app.launcher().children()
    assert len(children) == 2, children
    front = [p for p in children if "next-server" in " ".join(p.cmdline())]
    assert len(front) == 1
    return front[0] if name == "frontend" else next(p for p in children if p not in front)


def until(holds: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def healthy(app: LiveApp) -> bool:
    return all(app.get(path).status_code == 200 for path in ("/health", "/en"))


def assert_tidy(app: LiveApp, ended: list[psutil.Process]) -> None:
    """A launcher with two services, nothing of what was to end, and no zombie."""
    assert service(app, "backend") != service(app, "frontend")
    assert [p for p in ended if alive(p)] == []
    assert [p for p in app.processes() if not alive(p)] == []


def test_killed_mcp_servers(app: LiveApp, client: Callable[[], Client], folder: Path) -> None:
    assert client().converse("one")[2] == "echo one"
    before = servers_of(folder)
    assert len(before) >= 2
    for process in before:
        process.kill()
    until(lambda: not any(map(alive, before)))
    assert client().converse("two")[2] == "echo two"
    assert_tidy(app, before)


def test_a_killed_backend_takes_its_servers_along(
    app: LiveApp, client: Callable[[], Client], folder: Path
) -> None:
    assert client().converse("one")[2] == "echo one"
    before = [service(app, "backend"), *servers_of(folder)]
    assert len(before) >= 3
    before[0].kill()
    until(lambda: not any(map(alive, before)) and healthy(app))
    assert_tidy(app, before)
    assert "The backend was ended by SIGKILL. Its last lines:" in app.log()
    assert client().converse("two")[2] == "echo two"


def test_a_killed_front_end(app: LiveApp, client: Callable[[], Client]) -> None:
    before = service(app, "frontend")
    before.kill()
    until(lambda: not alive(before) and healthy(app))
    assert_tidy(app, [before])
    assert client().converse("two")[2] == "echo two"


def test_every_line_says_whose_it_is(app: LiveApp) -> None:
    lines = [json.loads(line) for line in app.tool("logs", "-o", "json").splitlines()]
    told = [line["message"] for line in lines if line["source"] == "APP"]
    assert len(told) > 20
    assert [line for line in told if not OWN_LINE.match(line)] == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_launcher(
    app: LiveApp, client: Callable[[], Client], folder: Path, how: signal.Signals
) -> None:
    app.process("deploy", "--redeploy")
    client().converse("one")
    before = [*app.processes(), *servers_of(folder)]
    assert len(before) >= 5
    app.launcher().send_signal(how)
    until(lambda: not any(map(alive, before)), 60)
    assert servers_of(folder) == []
