"""`--plan` as people and pipelines call it: text, one JSON document, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from tests import commands
from tests.deploy.tiny_app import with_app, write_databricks_yml

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(project: Project) -> Command:
    """Runs a command in the project's folder, for its app."""

    def run(*words: str, app: str = "") -> tuple[int, str, str]:
        commands.write_target(project, app)
        done = commands.run(*words, "-t", "local", folder=project.folder)
        return done.returncode, done.stdout, done.stderr

    return run


def test_before_and_after(
    project: Project, deployed: Callable[..., pipeline.Facts], command: Command
) -> None:
    code, out, _ = command("bundle-deploy", "--plan", "--detailed-exitcode")
    assert code == 4
    assert f"+ create   app {project.settings.app.name}" in out.splitlines()
    assert out.splitlines()[-1] == "Plan: 8 to create, 1 to upload."
    assert command("bundle-deploy", "--plan")[0] == 0
    deployed(project)
    code, out, _ = command("app-deploy", "--plan", "--detailed-exitcode", "-o", "json")
    document: dict[str, Any] = json.loads(out)
    assert (code, document["differs"], document["counts"]) == (0, False, {"keep": 1})
    code, out, err = command("app-deploy", "--plan", "--detailed-exitcode", "-o", "json", app=", env: {A: b}")
    (change,) = json.loads(out)["changes"]
    assert (code, change["action"], change["kind"]) == (4, "deploy", "deployment")
    assert {"field": "env.A", "before": None, "after": "b", "by": "settings"} in change["differences"]
    code, out, err = command("bundle-deploy", "-o", "json", app=", env: {A: b}")
    assert (code, json.loads(out)["error"]["code"]) == (1, "stage_missing")
    assert "metamcp-deploy build -t local" in err
    write_databricks_yml(with_app(project, env={"A": "b"}))


def test_only_plans_have_the_exit_code(command: Command) -> None:
    code, _, err = command("app-deploy", "--detailed-exitcode")
    assert code == 2
    assert "--plan" in err
