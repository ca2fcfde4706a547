"""The whole tool as a person uses it: command lines as processes, the sample upstream, a workspace of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from metamcp_deploy.config.project import Project

TOOL = (sys.executable, "-m", "metamcp_deploy")


class Workplace:
    """A working folder and the command line in it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*TOOL, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == code, (words, done.returncode, done.stdout[-2000:], done.stderr[-4000:])
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-o", "json").stdout)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*TOOL, *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self) -> list[str]:
        """Command lines of all that runs from this folder."""
        found = []
        for process in psutil.process_iter(["cmdline", "cwd", "status"]):
            info = process.info
            here = str(self.folder)
            if info["status"] != psutil.STATUS_ZOMBIE and (
                here in " ".join(info["cmdline"] or []) or str(info["cwd"] or "").startswith(here)
            ):
                found.append(" ".join(info["cmdline"] or []))
        return found


@pytest.fixture(scope="module")
def workplace(
    tmp_path_factory: pytest.TempPathFactory, shared_cache: Path, built_sample: Project
) -> Iterator[Workplace]:
    """A folder in which `demo` has run to its end, with the release that `built_sample` left in the cache."""
    home = tmp_path_factory.mktemp("home")
    npmrc = Path.home() / ".npmrc"
    if npmrc.is_file():
        (home / ".npmrc").write_bytes(npmrc.read_bytes())
    kept = {
        k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
    }
    env = {
        **kept,
        "HOME": str(home),
        "METAMCP_CACHE_DIR": str(shared_cache),
        "NO_COLOR": "1",
        "COLUMNS": "150",
    }
    place = Workplace(tmp_path_factory.mktemp("work"), env)
    try:
        done = place.run("demo")
        assert "Try next" in done.stderr
        yield place
    finally:
        subprocess.run([*TOOL, "local", "reset", "--auto-approve"], cwd=place.folder, env=env, check=True)


@pytest.fixture
def again(workplace: Workplace) -> Callable[[], Any]:
    """Deploys the demo's settings once more, as any later run would, and returns what it did as data."""
    return lambda: workplace.json("demo")


def test_it_is_healthy_and_every_operating_command_works(workplace: Workplace) -> None:
    health = workplace.json("health", "-t", "local")
    assert health["status"] == "healthy"
    assert [c["http"] for c in health["checks"]] == [200, 200, 200]
    log = workplace.run("logs", "-t", "local").stdout
    for line in (
        "PG env status:",
        "Requesting workspace token",
        "Requesting DB credential",
        "Applying database migrations",
    ):
        assert f"[MetaMCP][Databricks] {line}" in log
    last = [
        json.loads(x)
        for x in workplace.run("logs", "-t", "local", "-n", "3", "-o", "json").stdout.splitlines()
    ]
    assert len(last) == 3
    assert set(last[0]) == {"timestamp", "source", "message"}
    token = workplace.run("token", "-t", "local").stdout.strip()
    status = workplace.json("local", "status")
    assert status["apps"][0]["url"] == health["url"]
    assert token
    assert token not in json.dumps(status)


def launchers(workplace: Workplace) -> set[int]:
    """Launchers of this workplace: other tests have theirs."""
    return {
        p.pid
        for p in psutil.process_iter(["cmdline", "cwd"])
        if "metamcp-launcher" in (p.info["cmdline"] or []) and str(workplace.folder) in (p.info["cwd"] or "")
    }


def test_a_second_run_rebuilds_and_restarts_nothing(workplace: Workplace, again: Callable[[], Any]) -> None:
    before = launchers(workplace)
    done = again()
    ran = {s["stage"]: s["ran"] for s in done["stages"]}
    assert ran == {
        "prepare": False,
        "patch": False,
        "build": False,
        "bundle-deploy": True,
        "app-deploy": True,
    }
    assert before == launchers(workplace)
    assert done["health"]["status"] == "healthy"


def test_following_the_log_ends_with_130_and_no_traceback(workplace: Workplace) -> None:
    following = workplace.start("logs", "-t", "local", "-f")
    assert following.stdout is not None
    assert following.stderr is not None
    following.stdout.readline()
    following.send_signal(signal.SIGINT)
    assert following.wait(120) == 130
    assert "Traceback" not in following.stderr.read()


STAGES = {
    "prepare": ["build/upstream", "build/state/prepare.json"],
    "patch": ["build/metamcp", "build/state/patch.json"],
    "build": ["build/bundle", "build/state/build.json"],
    "bundle-deploy": [],
    "app-deploy": [],
    "health": [],
}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_run_leaves_nothing_behind_and_the_next_one_is_healthy(
    workplace: Workplace, again: Callable[[], Any], stage: str, signum: signal.Signals
) -> None:
    for path in STAGES[stage]:
        subprocess.run(["rm", "-rf", workplace.folder / path], check=True)
    if not STAGES[stage]:
        workplace.run("local", "reset", "--auto-approve")
    running = workplace.start("demo", "--log-format", "json")
    assert running.stderr is not None
    for line in running.stderr:
        event = json.loads(line)
        if event["event"] == "stage_started" and event["stage"] == stage:
            break
    time.sleep(0.15)
    running.send_signal(signum)
    code = running.wait(120)
    # The workspace and its app go on; the tool's own children do not.
    left = [c for c in workplace.processes() if "pnpm" in c or "git " in c or "-m metamcp_deploy demo" in c]
    done = again()
    assert done["health"]["status"] == "healthy"
    assert code in (0, 130 if signum == signal.SIGINT else -9)
    if signum == signal.SIGINT:
        assert left == []


def test_down_leaves_no_process_and_up_brings_the_same_url_back(workplace: Workplace) -> None:
    url = workplace.json("health", "-t", "local")["url"]
    workplace.run("local", "down")
    assert workplace.processes() == []
    workplace.run("local", "up")
    report = workplace.json("health", "-t", "local", "--wait", "60")
    assert (report["url"], report["status"]) == (url, "healthy")
