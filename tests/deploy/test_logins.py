"""The ways of a pipeline to log in, against the embedded workspace's token endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from metamcp_deploy import local
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import session
from tests.deploy.others import elsewhere
from tests.embedded_people import POLICY, jwt, machine, person
from tests.issuing import Issuer


@pytest.fixture
def running(base: Project) -> local.Running:
    return local.up(base)


@pytest.fixture
def robot(running: local.Running) -> dict[str, str]:
    return person(running, "pipeline", federation=POLICY)


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def logged_in(project: Project, running: local.Running, robot: dict[str, str], kind: str) -> None:
    workspace = session.connect(elsewhere(project, running.url))
    assert workspace.me == robot["client_id"]
    assert workspace.login.auth_type == kind
    assert workspace.token()
    assert robot["client_secret"] not in repr(workspace.login)


def test_client_credentials(
    project: Project, running: local.Running, robot: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(monkeypatch, **machine(robot))
    logged_in(project, running, robot, "oauth-m2m")


def test_a_profile(project: Project, running: local.Running, robot: dict[str, str], isolated: Path) -> None:
    (isolated / ".databrickscfg").write_text(
        f"[ci]\nhost = {running.url}\nclient_id = {robot['client_id']}\nclient_secret = {robot['client_secret']}\n"
    )
    logged_in(project, running, robot, "oauth-m2m")


def test_a_token_in_the_environment(
    project: Project, running: local.Running, robot: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(
        monkeypatch,
        DATABRICKS_AUTH_TYPE="env-oidc",
        DATABRICKS_CLIENT_ID=robot["client_id"],
        DATABRICKS_OIDC_TOKEN=jwt(),
    )
    logged_in(project, running, robot, "env-oidc")


def test_a_token_in_a_variable_of_another_name(
    project: Project, running: local.Running, robot: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(
        monkeypatch,
        DATABRICKS_AUTH_TYPE="env-oidc",
        DATABRICKS_CLIENT_ID=robot["client_id"],
        DATABRICKS_OIDC_TOKEN_ENV="CI_JOB_TOKEN",
        CI_JOB_TOKEN=jwt(),
    )
    logged_in(project, running, robot, "env-oidc")


def test_a_token_in_a_file(
    project: Project,
    running: local.Running,
    robot: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "token").write_text(jwt())
    environment(
        monkeypatch,
        DATABRICKS_AUTH_TYPE="file-oidc",
        DATABRICKS_CLIENT_ID=robot["client_id"],
        DATABRICKS_OIDC_TOKEN_FILEPATH=str(tmp_path / "token"),
    )
    logged_in(project, running, robot, "file-oidc")


def test_github(
    project: Project, running: local.Running, robot: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Issuer() as issuer:
        environment(
            monkeypatch,
            DATABRICKS_AUTH_TYPE="github-oidc",
            DATABRICKS_CLIENT_ID=robot["client_id"],
            DATABRICKS_TOKEN_AUDIENCE=POLICY["audience"],
            **issuer.environment,
        )
        logged_in(project, running, robot, "github-oidc")
        assert set(issuer.audiences) == {POLICY["audience"]}


def test_a_token_that_no_policy_takes(
    project: Project, running: local.Running, robot: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = jwt(sub="repo:example/other:environment:dev")
    environment(
        monkeypatch,
        DATABRICKS_AUTH_TYPE="env-oidc",
        DATABRICKS_CLIENT_ID=robot["client_id"],
        DATABRICKS_OIDC_TOKEN=token,
    )
    with pytest.raises(DeployError) as caught:
        _ = session.connect(elsewhere(project, running.url)).me
    error = caught.value
    assert error.code is Code.AUTH_FAILED
    assert "subject match no federation policy" in (error.detail or "")
    assert token not in str(error.as_dict())


def test_a_pipeline_without_a_token(
    project: Project, running: local.Running, robot: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a workflow without `permissions: id-token: write`."""
    environment(monkeypatch, DATABRICKS_AUTH_TYPE="github-oidc", DATABRICKS_CLIENT_ID=robot["client_id"])
    with pytest.raises(DeployError) as caught:
        session.connect(elsewhere(project, running.url))
    assert caught.value.code is Code.AUTH_FAILED
    assert "id-token: write" in caught.value.hint
