"""The operating commands as people and pipelines run them: other processes, their output and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from tests.deploy.tiny_app import with_app


@pytest.fixture
def command(project: Project) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command in the project's folder, for its app."""
    text = f"version: 1\ntargets:\n  local:\n    embedded: true\n    app: {{name: {project.settings.app.name}}}\n"
    (project.folder / "metamcp.yaml").write_text(text)

    def start(*words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "metamcp_deploy", *words, "-t", "local"]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            argv, cwd=project.folder, env={**os.environ}, text=True, stdout=pipe, stderr=pipe
        )

    return start


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


Deploy = Callable[..., pipeline.Facts]
Command = Callable[..., subprocess.Popen[str]]


def test_health(project: Project, deployed: Deploy, command: Command) -> None:
    facts = deployed(project)
    code, out, _ = ended(command("health", "--wait", "10", "-o", "json"))
    document = json.loads(out)
    assert (code, document["status"], document["url"]) == (0, "healthy", facts["url"])
    assert "error" not in document
    code, out, _ = ended(command("health"))
    assert (code, out.splitlines()[0]) == (0, f"healthy  {facts['url']}")


def test_health_of_an_app_that_is_not_well(project: Project, deployed: Deploy, command: Command) -> None:
    deployed(with_app(project, env={"MODE": "nodatabase"}))
    code, out, _ = ended(command("health", "-o", "json"))
    document: dict[str, Any] = json.loads(out)
    assert (code, document["status"], document["error"]["code"]) == (1, "database_down", "unhealthy")
    code, out, err = ended(command("health"))
    assert (code, out) == (1, "")
    assert "database_down" in err


def test_logs(project: Project, deployed: Deploy, command: Command) -> None:
    deployed(project)
    code, out, _ = ended(command("logs", "-o", "json", "--source", "APP", "-n", "1"))
    assert code == 0
    assert json.loads(out)["message"] == "tiny app listens"
    code, out, _ = ended(command("logs", "--grep", "listens"))
    assert (code, len(out.splitlines())) == (0, 1)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_following_ends_with_ctrl_c(
    project: Project, deployed: Deploy, command: Command, signum: signal.Signals
) -> None:
    deployed(project)
    child = command("logs", "-f", "--source", "APP")
    assert child.stdout is not None
    while "tiny app listens" not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(signum)
    code, _, err = ended(child)
    assert code == 130
    assert "Traceback" not in err


def test_token(project: Project, deployed: Deploy, command: Command) -> None:
    facts = deployed(project)
    code, out, _ = ended(command("token"))
    assert (code, len(out.split())) == (0, 1)
    import requests

    answer = requests.get(
        facts["url"] + "/metamcp", headers={"Authorization": f"Bearer {out.strip()}"}, timeout=5
    )
    assert answer.status_code == 200


def test_without_an_app(command: Command, tmp_path: Path) -> None:
    code, out, _ = ended(command("logs", "-o", "json"))
    assert (code, json.loads(out)["error"]["code"]) == (1, "not_found")
