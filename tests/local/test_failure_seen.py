"""A launcher that cannot start, seen through the workspace's proxy: by an operator, by an outsider, by a forger."""

from __future__ import annotations

from pathlib import Path

import pytest
from databricks.sdk.service.apps import App, EnvVar

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.deployments import launcher_status
from metamcp_deploy.network import Network
from metamcp_deploy.workspace import Workspace
from tests.embedded_people import grant, person
from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import write_release
from tests.local.embedded_world import World

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"
FORGED = ("X-Forwarded-Email", "x-forwarded-email", "X_Forwarded_Email", "X-Forwarded-User", "Forwarded")


def release(folder: Path, world: World, operators: str) -> App:
    """An app without a database: its launcher stops at that step, for good."""
    folder.mkdir()
    write_release(folder, backend=programs.BACKEND, frontend=programs.FRONTEND, migrate=programs.MIGRATE)
    (folder / "app.yaml").write_text('command: ["node", "start.mjs"]\n')
    name = world.name()
    source = world.upload(
        f"/Workspace/Shared/{name}",
        {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()},
    )
    world.create(name)
    given = {
        "BETTER_AUTH_SECRET": "auth-secret-marked-77aa",
        "METAMCP_OPERATORS": operators,
        "METAMCP_CONTACT": "#metamcp-help",
    }
    variables = [EnvVar(name=key, value=value) for key, value in given.items()]
    made = world.deploy(name, source, env_vars=variables)
    assert made.status.state.value == "SUCCEEDED", "the launcher listens, so the app runs"
    app = world.client.apps.get(name)
    world.until(lambda: world.get(app, "/").json()["status"] == "failed")
    return app


@pytest.fixture(scope="module")
def theirs(world: World, tmp_path_factory: pytest.TempPathFactory) -> App:
    """An app that somebody else operates."""
    return release(tmp_path_factory.mktemp("launcher") / "theirs", world, "oncall@example.com")


def test_an_outsider_sees_the_outline(world: World, theirs: App) -> None:
    answer = world.get(theirs, "/metamcp")
    body = answer.json()
    assert (answer.status_code, body["step"], body["code"]) == (503, "database", "pghost_missing")
    assert set(body) == {"status", "step", "code", "message", "request_id", "contact"}
    page = world.get(theirs, "/", headers={"Accept": BROWSER}).text
    assert "#metamcp-help" in page
    assert "PGHOST" not in page


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_address_opens_nothing(world: World, theirs: App, name: str) -> None:
    for value in ("oncall@example.com", "email=oncall@example.com"):
        for accept in ("application/json", BROWSER):
            answer = world.get(theirs, "/", headers={name: value, "Accept": accept})
            assert answer.status_code == 503
            assert "PGHOST" not in answer.text
            # Naming it in Connection takes away neither the proxy's word nor adds the client's.
            sly = {name: value, "Connection": f"keep-alive, {name}", "Accept": accept}
            assert "PGHOST" not in world.get(theirs, "/", headers=sly).text


def test_who_manages_the_app_reads_its_status(world: World, theirs: App) -> None:
    def read(made: dict[str, str]) -> launcher_status.Reading:
        login = {name: made[name] for name in ("client_id", "client_secret")}
        given = {**login, "client_secret": Secret(login["client_secret"])}
        network = Network.of(world.project.settings.network)
        workspace = Workspace.connect(world.project.settings, network, host=world.running.url, **given)
        return launcher_status.read(workspace, str(theirs.url), seconds=30)

    user = person(world.running, "sees-status@example.com")
    grant(world.running, "apps", str(theirs.name), "CAN_USE", user_name="sees-status@example.com")
    assert read(user).outcome is launcher_status.Outcome.NOT_PERMITTED
    manager = person(world.running, "manages-status@example.com")
    grant(world.running, "apps", str(theirs.name), "CAN_MANAGE", user_name="manages-status@example.com")
    reading = read(manager)
    assert reading.document is not None, reading
    assert (reading.document.status, reading.document.code) == ("failed", "pghost_missing")
    assert "metamcp-deploy deploy -t TARGET" in str(reading.document.fix)
    assert "auth-secret-marked-77aa" not in str(reading.document.raw)


def test_an_operator_sees_what_ends_it(world: World, tmp_path: Path) -> None:
    app = release(tmp_path / "ours", world, "oncall@example.com,developer@example.com")
    body = world.get(app, "/", headers={"X-Forwarded-Email": "someone@example.com"}).json()
    assert body["error"].startswith("PGHOST not set")
    assert "metamcp-deploy deploy -t TARGET" in body["fix"]
    assert any("PG env status: PGHOST=missing" in line for line in body["environment"])
    assert any("Start failed at step database" in line for line in body["log"]["launcher"])
    assert "auth-secret-marked-77aa" not in str(body)
