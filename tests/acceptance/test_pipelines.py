"""The workflow and the recipe of docs/ci.md, run as they stand, against an embedded workspace reached by its URL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from metamcp_deploy import local
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from tests.acceptance.workflow import SUBJECT, Runner, blocks, sh
from tests.embedded_people import POLICY, grant, grant_scope, jwt, owner, person

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = """\
version: 1
upstream: {{url: {url}, ref: {ref}}}
default_target: dev
targets:
  dev:
    app: {{name: metamcp-dev}}
    workspace: {{host: {host}, root_path: /Workspace/Shared/metamcp-dev}}
  prod:
    protected: true
    app: {{name: metamcp-prod}}
    workspace: {{host: {host}, root_path: /Workspace/Shared/metamcp-prod}}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[local.Running]:
    """Of somebody else: pipelines know its address."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("METAMCP_CACHE_DIR", str(shared_cache))
        project = Project(tmp_path_factory.mktemp("workspace"), Settings(target="local", embedded=True))
        yield local.up(project)
        local.reset(project)


@pytest.fixture
def repository(tmp_path: Path, workspace: local.Running, built_sample: Project) -> Path:
    """What a team keeps in git."""
    folder = tmp_path / "repository"
    folder.mkdir()
    upstream = built_sample.settings.upstream
    text = CONFIGURATION.format(url=upstream.url, ref=upstream.ref, host=workspace.url)
    (folder / "metamcp.yaml").write_text(text)
    (folder / "requirements.txt").write_text("metamcp-deploy[local]\n")
    (folder / ".gitignore").write_text("build/\nrelease.tar\n")
    subprocess.run(["git", "-C", folder, "init", "-q", "-b", "main"], check=True)
    commit(folder, "Deploys MetaMCP")
    return folder


def commit(folder: Path, message: str) -> None:
    """All of a repository."""
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.com"]
    for words in (["add", "."], [*who, "commit", "-qm", message]):
        subprocess.run(["git", "-C", folder, *words], check=True)


@pytest.fixture
def base() -> dict[str, str]:
    """The environment of a CI's machine, with the tool installed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DATABRICKS_")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CI": "true"}


def told(workspace: local.Running, path: str) -> Any:
    """What the workspace answers its owner."""
    answer = requests.get(f"{workspace.url}/api/2.0/apps/{path}", headers=owner(workspace), timeout=120)
    return answer.json()


def release(workspace: local.Running, app: str) -> str:
    """What an app runs."""
    found = told(workspace, app)
    assert found["app_status"]["state"] == "RUNNING"
    return str(found["active_deployment"]["source_code_path"]).rsplit("/", 1)[1]


def deployments(workspace: local.Running, app: str) -> list[dict[str, Any]]:
    """Newest first."""
    found: list[dict[str, Any]] = told(workspace, f"{app}/deployments")["app_deployments"]
    return found


@pytest.mark.timeout(600)  # the first of all tests that need the sample builds it
def test_the_workflow(
    repository: Path, workspace: local.Running, built_sample: Project, tmp_path: Path, base: dict[str, str]
) -> None:
    environments, asked = {}, []
    for name in ("dev", "prod"):
        made = person(workspace, f"deploys-{name}", federation={**POLICY, "subject": SUBJECT.format(name)})
        environments[name] = {
            "DATABRICKS_HOST": workspace.url,
            "DATABRICKS_CLIENT_ID": made["client_id"],
        }
    # Who deploys a protected target has a folder that nobody else can write to.
    settings = repository / "metamcp.yaml"
    own = f"/Workspace/Users/{environments['prod']['DATABRICKS_CLIENT_ID']}/metamcp-prod"
    settings.write_text(settings.read_text().replace("/Workspace/Shared/metamcp-prod", own))
    commit(repository, "prod has a folder of its deployer's own")
    base["DATABRICKS_TOKEN_AUDIENCE"] = POLICY["audience"]
    runner = Runner(repository, tmp_path / "jobs", environments, base, asked.append)
    runner.run(DOCS / "ci" / "github-actions.yml")
    assert asked == ["dev", "prod"]
    built = json.loads((built_sample.state / "build.json").read_text())["facts"]["release"]
    assert release(workspace, "metamcp-dev") == release(workspace, "metamcp-prod") == built
    assert [job for job, _ in runner.ran] == ["build"] * 4 + ["dev"] * 2 + ["prod"] * 3
    for job in ("dev", "prod"):
        # Neither checked out nor built: taken from the file.
        assert not (tmp_path / "jobs" / job / "build" / "upstream").exists()


@pytest.mark.timeout(600)
def test_the_recipe(
    repository: Path, workspace: local.Running, built_sample: Project, tmp_path: Path, base: dict[str, str]
) -> None:
    """By a service principal that may only what docs/permissions.md says a pipeline needs."""
    building, deploying = blocks(DOCS / "ci.md")
    sh(building, repository, base)
    first = person(workspace, "makes", admin=True, federation=POLICY)
    env = {
        **base,
        "TARGET": "dev",
        "DATABRICKS_HOST": workspace.url,
        "DATABRICKS_CLIENT_ID": first["client_id"],
        "CI_ID_TOKEN": jwt(),
        "CI_COMMIT_SHA": "0123456789",
    }
    sh(deploying, repository, env)
    robot = person(workspace, "only-deploys", federation=POLICY)
    grant(workspace, "apps", "metamcp-dev", "CAN_MANAGE", service_principal_name=robot["client_id"])
    grant_scope(workspace, "metamcp-dev", "READ", robot["client_id"])
    settings = repository / "metamcp.yaml"
    settings.write_text(settings.read_text() + "app: {env: {LOG_LEVEL: debug}}\n")
    before = deployments(workspace, "metamcp-dev")
    out = sh(deploying, repository, {**env, "DATABRICKS_CLIENT_ID": robot["client_id"]})
    assert json.loads(out[out.rindex("\n{\n") :])["status"] == "healthy"
    newest, *others = deployments(workspace, "metamcp-dev")
    assert (newest["creator"], others) == (robot["client_id"], before)
