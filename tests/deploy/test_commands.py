"""The operating commands as people and pipelines run them: other processes, their output and exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from tests import commands
from tests.deploy.tiny_app import with_app

Deploy = Callable[..., pipeline.Facts]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(project: Project) -> Command:
    """Runs a command in the project's folder, for its app: exit code, stdout, stderr."""
    commands.write_target(project)

    def run(*words: str) -> tuple[int, str, str]:
        done = commands.run(*words, "-t", "local", folder=project.folder)
        return done.returncode, done.stdout, done.stderr

    return run


def test_health(project: Project, deployed: Deploy, command: Command) -> None:
    facts = deployed(project)
    code, out, _ = command("health", "--wait", "10", "-o", "json")
    document = json.loads(out)
    assert (code, document["status"], document["url"]) == (0, "healthy", facts["url"])
    assert "error" not in document
    code, out, _ = command("health")
    assert (code, out.splitlines()[0]) == (0, f"healthy  {facts['url']}")


def test_health_of_an_app_that_is_not_well(project: Project, deployed: Deploy, command: Command) -> None:
    deployed(with_app(project, env={"MODE": "nodatabase"}))
    code, out, _ = command("health", "-o", "json")
    document: dict[str, Any] = json.loads(out)
    assert (code, document["status"], document["error"]["code"]) == (1, "database_down", "unhealthy")
    code, out, err = command("health")
    assert (code, out) == (1, "")
    assert "database_down" in err


def test_logs(project: Project, deployed: Deploy, command: Command) -> None:
    deployed(project)
    code, out, _ = command("logs", "-o", "json", "--source", "APP", "-n", "1")
    assert code == 0
    assert json.loads(out)["message"] == "tiny app listens"
    code, out, _ = command("logs", "--grep", "listens")
    assert (code, len(out.splitlines())) == (0, 1)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_following_ends_with_ctrl_c(project: Project, deployed: Deploy, signum: signal.Signals) -> None:
    deployed(project)
    commands.write_target(project)
    argv = [sys.executable, "-m", "metamcp_deploy", "logs", "-f", "--source", "APP", "-t", "local"]
    pipe = subprocess.PIPE
    child = subprocess.Popen(argv, cwd=project.folder, text=True, stdout=pipe, stderr=pipe)
    assert child.stdout is not None
    while "tiny app listens" not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(signum)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 130
    assert "Traceback" not in err


def test_token(project: Project, deployed: Deploy, command: Command) -> None:
    facts = deployed(project)
    code, out, _ = command("token")
    assert (code, len(out.split())) == (0, 1)
    import requests

    answer = requests.get(
        facts["url"] + "/metamcp", headers={"Authorization": f"Bearer {out.strip()}"}, timeout=120
    )
    assert answer.status_code == 200


def test_without_an_app(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("logs", "-o", "json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "not_found")
