"""What a deployment needs is found out beforehand, without changing anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from databricks.sdk.environments import Cloud

from metamcp_deploy import local, pipeline, preflight
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import faults
from metamcp_deploy.preflight import app, needs
from metamcp_deploy.preflight import folder as root_folder
from metamcp_deploy.preflight.access import Person, Seen, judged
from metamcp_deploy.preflight.needs import Check, State
from metamcp_deploy.preflight.scene import Scene, wanted
from metamcp_deploy.target import session
from metamcp_deploy.workspace.apps import App
from metamcp_deploy.workspace.permissions import Granted
from tests import commands
from tests.deploy.others import elsewhere
from tests.deploy.tiny_app import with_app, with_settings
from tests.embedded_people import grant, grant_scope, machine, person

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"


@pytest.fixture
def running(base: Project) -> local.Running:
    return local.up(base)


@pytest.fixture
def ada(running: local.Running, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Logged in as somebody who is no administrator."""
    made = person(running, "ada@example.com")
    for name, value in machine(made).items():
        monkeypatch.setenv(name, value)
    return made


def by_id(report: preflight.Report) -> dict[str, Check]:
    return {check.id: check for check in report.checks}


def states(report: preflight.Report) -> dict[str, str]:
    return {check.id: check.state.value for check in report.checks}


def recorded(base: Project) -> list[str]:
    lines = (base.local / "requests.jsonl").read_text().splitlines()
    return [f"{r['method']} {r['path']}" for r in map(json.loads, lines)]


def test_an_administrator_lacks_nothing_and_nothing_is_written(project: Project, base: Project) -> None:
    before = recorded(base)
    report = preflight.look(project)
    assert not report.missing
    assert set(states(report).values()) == {"had"}
    asked = recorded(base)[len(before) :]
    assert [line for line in asked if not line.startswith("GET ")] == ["POST /oidc/v1/token"]
    assert len(asked) <= 15


def test_somebody_else_learns_what_to_ask(
    project: Project, running: local.Running, ada: dict[str, str], deployed: Callable[..., pipeline.Facts]
) -> None:
    deployed(project)
    report = preflight.look(elsewhere(project, running.url, "/Workspace/Users/developer@example.com/x"))
    found = by_id(report)
    name = project.settings.app.name
    assert report.me == "ada@example.com"
    for need in ("root", "upload", "app", "deploy", "open", "scope"):
        assert found[need].state is State.MISSING, need
        assert "Please give ada@example.com" in found[need].ask
    assert f"/api/2.0/permissions/apps/{name}" in found["app"].ask
    assert f"databricks secrets put-acl {name} ada@example.com MANAGE" in found["scope"].ask
    assert found["lakebase"].state is State.HAD


def test_what_is_granted_is_had(
    project: Project, running: local.Running, ada: dict[str, str], deployed: Callable[..., pipeline.Facts]
) -> None:
    name = project.settings.app.name
    root = f"/Workspace/Shared/{name}"
    deployed(with_settings(project, workspace={"root_path": root}))
    there = elsewhere(project, running.url, root)
    grant(running, "apps", name, "CAN_MANAGE", user_name="ada@example.com")
    grant_scope(running, name, "READ", "ada@example.com")
    found = states(preflight.look(there))
    assert {need for need, state in found.items() if state != "had"} == set()


def test_for_a_new_app_only_the_attempt_tells(
    project: Project, running: local.Running, ada: dict[str, str]
) -> None:
    report = preflight.look(elsewhere(project, running.url))
    found = by_id(report)
    assert not report.missing
    for need in ("database", "scope", "app", "deploy", "limit"):
        assert found[need].state is State.UNKNOWN, need
    assert "May ada@example.com make Databricks Apps" in found["app"].ask
    assert found["root"].state is State.HAD
    assert found["root"].detail.endswith("is in your home folder; nobody else may write there")


def test_a_project_of_somebody_else(project: Project, running: local.Running, ada: dict[str, str]) -> None:
    workspace = session.connect(project)
    name = project.settings.app.name
    workspace._transport.do(
        "POST", "/api/2.0/postgres/projects", query={"project_id": name}, body={"spec": {}}
    )
    there = elsewhere(project, running.url)
    until = by_id(preflight.look(there))["database"]
    while "would be made" in until.detail:
        until = by_id(preflight.look(there))["database"]
    assert until.state is not State.HAD
    assert f"/api/2.0/permissions/database-projects/{name}" in until.ask
    grant(running, "database-projects", name, "CAN_MANAGE", user_name="ada@example.com")
    assert by_id(preflight.look(there))["database"].state is State.HAD


def test_what_is_managed_elsewhere_must_be_there(
    project: Project, running: local.Running, ada: dict[str, str]
) -> None:
    left = {"app": {"managed": False}, "database": {"managed": False}, "secrets": {"managed": False}}
    found = by_id(preflight.look(elsewhere(project, running.url, **left)))
    for need in ("app", "database", "scope", "keys"):
        assert found[need].state is State.MISSING, need
        assert found[need].ask.startswith("Please "), found[need].ask


def test_a_name_that_is_taken(project: Project, running: local.Running, ada: dict[str, str]) -> None:
    session.connect(project).apps.create(project.settings.app.name, {"description": "not ours"})
    grant(running, "apps", project.settings.app.name, "CAN_MANAGE", user_name="ada@example.com")
    check = by_id(preflight.look(elsewhere(project, running.url)))["name"]
    assert check.state is State.MISSING
    assert "--adopt" in check.ask
    assert "developer@example.com made the app" in check.ask
    mine = by_id(preflight.look(project))["name"]  # a deployment adopts what the same login made
    assert (mine.state, mine.detail) == (State.HAD, "you made the app, and it is adopted")


def test_the_platform_may_say_more_of_a_resource(
    project: Project, deployed: Callable[..., pipeline.Facts]
) -> None:
    deployed(project)
    scene = scene_of(project)
    found = session.connect(project).apps.get(project.settings.app.name)
    more = [{**resource, "description": "told by the platform"} for resource in found.resources]
    assert replace(scene, app=App({**found.raw, "resources": more})).attached
    assert not replace(scene, app=App({**found.raw, "resources": more[1:]})).attached


def test_permissions_that_the_settings_state_must_be_readable(
    project: Project, running: local.Running, ada: dict[str, str], deployed: Callable[..., pipeline.Facts]
) -> None:
    deployed(project)
    name, reader = project.settings.app.name, {"user_name": "bea@example.com"}
    grant(running, "apps", name, "CAN_MANAGE", user_name="ada@example.com")
    grant_scope(running, name, "READ", "ada@example.com")
    there = elsewhere(
        project,
        running.url,
        f"/Workspace/Shared/{name}",
        database={"permissions": [{"level": "CAN_USE", **reader}]},
        secrets={"permissions": [{"level": "READ", **reader}]},
    )
    found = by_id(preflight.look(there))
    for need in ("database", "scope"):
        assert found[need].state is State.MISSING, need
        assert "Please give ada@example.com" in found[need].ask
    grant(running, "database-projects", name, "CAN_MANAGE", user_name="ada@example.com")
    grant_scope(running, name, "MANAGE", "ada@example.com")
    found = by_id(preflight.look(there))
    assert {found[need].state for need in ("database", "scope")} == {State.HAD}


def scene_of(project: Project, **compute: str) -> Scene:
    """As the administrator, and with an app in this state where one is given."""
    workspace = session.connect(project)
    name, found = project.settings.app.name, None
    if compute:
        found = App({"name": name, "description": "metamcp-deploy", "compute_status": compute})
    return Scene(
        project, workspace, Person.of(workspace.identity), wanted(project, found, "x@example.com"), found
    )


def test_an_app_that_is_being_deleted(project: Project) -> None:
    found = {check.id: check for check in app.look(scene_of(project, state="DELETING"))}
    assert found["app"].state is State.MISSING
    assert found["deploy"].ask.startswith("Wait until it is gone")


def test_secrets_that_are_not_there(project: Project) -> None:
    found = by_id(preflight.look(with_app(project, env={"TOKEN": {"secret": "GITHUB_TOKEN"}})))
    assert found["keys"].state is State.MISSING
    assert "GITHUB_TOKEN" in found["keys"].detail
    assert "BETTER_AUTH_SECRET" not in found["keys"].detail
    assert f"databricks secrets put-secret {project.settings.app.name} GITHUB_TOKEN" in found["keys"].ask


def test_nothing_is_built_yet(project: Project, tmp_path: Path) -> None:
    away = replace(project, folder=tmp_path)
    assert {c.id: c.state for c in root_folder.look(replace(scene_of(project), project=away))}[
        "size"
    ] is State.UNKNOWN


@pytest.mark.parametrize(("cloud", "most"), [("AWS", 100), ("AZURE", 100), ("GCP", 50)])
def test_a_workspace_that_is_full(
    project: Project, monkeypatch: pytest.MonkeyPatch, cloud: str, most: int
) -> None:
    """Limits by docs.databricks.com/aws and /gcp, resources/limits, and its counterpart for Azure."""
    scene = scene_of(project)
    monkeypatch.setattr(scene.workspace.login.config, "cloud", Cloud(cloud))
    monkeypatch.setattr(scene.workspace.apps, "names", lambda: [f"app-{n}" for n in range(most)])
    found = {check.id: check for check in app.look(scene)}
    assert found["limit"].state is State.MISSING
    assert f"there are {most} apps" in found["limit"].ask
    monkeypatch.setattr(scene.workspace.apps, "names", lambda: [f"app-{n}" for n in range(most - 1)])
    assert {check.id: check for check in app.look(scene)}["limit"].state is State.HAD


def test_new_provisioned_instances_are_not_made(project: Project) -> None:
    old = with_settings(project, database={"kind": "provisioned", "instance": "none-such"})
    check = by_id(preflight.look(old))["database"]
    assert check.state is State.MISSING
    assert "database.kind to autoscaling" in check.ask


def test_a_workspace_without_apps(project: Project) -> None:
    error = DeployError(
        Code.FEATURE_MISSING, "GET /api/2.0/apps/x answered 404 FEATURE_DISABLED.", hint="ask"
    )
    found = {check.id: check for check in app.refused(scene_of(project), error)}
    assert found["apps"].state is State.MISSING
    assert "Please enable Databricks Apps" in found["apps"].ask
    assert "app" not in found


def test_an_address_that_is_not_let_in(project: Project, running: local.Running, ada: dict[str, str]) -> None:
    blocked = "Source IP address: 192.0.2.1 is blocked by Databricks IP ACL for workspace: 1"
    with faults.injected(running, faults.Fault("403", "* *", message=blocked)):
        report = preflight.look(elsewhere(project, running.url))
    assert [c.id for c in report.missing] == ["address"]
    assert "192.0.2.1" in report.missing[0].ask
    assert by_id(report)["host"].state is State.HAD


def test_a_call_that_is_refused_is_a_row_of_the_table(project: Project, running: local.Running) -> None:
    with faults.injected(running, faults.Fault("400", "GET /api/2.0/secrets/*", message="not today")):
        found = by_id(preflight.look(project))
    assert {found[need].state for need in ("scope", "keys")} == {State.UNKNOWN}
    assert "not today" in found["scope"].detail
    assert found["app"].state is State.HAD


def test_a_bug_is_no_missing_permission(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(_: Project) -> None:
        raise DeployError(Code.EXTRA_MISSING, "The extra is missing.", hint="Install it.")

    monkeypatch.setattr(session, "connect", failed)
    with pytest.raises(DeployError, match="extra"):
        preflight.look(project)


@pytest.mark.parametrize(
    ("holders", "state"),
    [
        ({("user_name", "ada@example.com"): {"CAN_MANAGE"}}, State.HAD),
        ({("user_name", "ada@example.com"): {"IS_OWNER"}}, State.HAD),
        ({("user_name", "ada@example.com"): {"CAN_USE"}}, State.MISSING),
        ({("user_name", "bea@example.com"): {"CAN_MANAGE"}}, State.MISSING),
        ({("group_name", "users"): {"CAN_MANAGE"}}, State.HAD),
        ({("group_name", "builders"): {"CAN_MANAGE"}}, State.HAD),
        ({("group_name", "others"): {"CAN_MANAGE"}}, State.UNKNOWN),
        ({("group_name", "admins"): {"CAN_MANAGE"}}, State.MISSING),
        ({}, State.MISSING),
        (None, State.UNKNOWN),
    ],
)
def test_access_lists(holders: Granted | None, state: State) -> None:
    assert judged(Person("ada@example.com", frozenset({"builders"})), holders, "CAN_MANAGE").state is state
    assert judged(Person("ada@example.com", frozenset({"admins"})), holders, "CAN_MANAGE").state is State.HAD


def called(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    done = commands.run("preflight", *words, folder=folder)
    return done.returncode, done.stdout


def test_the_command_without_a_checkout(
    project: Project,
    running: local.Running,
    ada: dict[str, str],
    folder: Path,
    deployed: Callable[..., pipeline.Facts],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed(project)
    name = project.settings.app.name
    monkeypatch.setenv("DATABRICKS_HOST", running.url)
    code, text = called(folder, "--app", name)
    assert code == 1
    assert f"/api/2.0/permissions/apps/{name}" in text
    grant(running, "apps", name, "CAN_MANAGE", user_name="ada@example.com")
    grant_scope(running, name, "READ", "ada@example.com")
    code, text = called(folder, "--app", name, "-o", "json")
    document = json.loads(text)
    found = {check["id"]: check["state"] for check in document["checks"]}
    # The root is in somebody else's home.
    assert {need for need, state in found.items() if state != "had"} == {"root", "upload"}
    assert (code, document["missing"], document["me"]) == (1, 2, "ada@example.com")
    assert not list(folder.iterdir())
    assert "There is no app" not in called(folder, "--app", "none")[1]


def test_a_personal_access_token_opens_no_app(
    project: Project, running: local.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", running.token.reveal())
    check = by_id(preflight.look(elsewhere(project, running.url)))["oauth"]
    assert check.state is State.MISSING
    assert "personal access token" in check.detail
    assert f"databricks auth login --host {running.url}" in check.ask


def test_a_login_that_fails(
    project: Project, running: local.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "nobody")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "wrong")
    report = preflight.look(elsewhere(project, running.url))
    assert [c.id for c in report.missing] == ["login"]
    assert "Workspace access" in report.missing[0].ask
    assert {c.state for c in report.checks if c.id not in ("host", "address", "login")} == {State.UNKNOWN}


def test_a_login_for_another_host(
    project: Project, running: local.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", running.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-1")
    report = preflight.look(elsewhere(project, "https://prod.example.com"))
    assert [c.id for c in report.missing] == ["host"]


def test_the_page_is_the_table() -> None:
    assert needs.markdown() in PAGE.read_text()


def test_every_text_to_send_can_be_written(project: Project) -> None:
    scene = scene_of(project)
    for need in needs.all_needs():
        text = scene.check(need, Seen(State.MISSING, "why"), thing="it", command="do it").ask
        assert text
        assert "{" not in text
