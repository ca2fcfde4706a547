"""status, start and stop of an app, as people and pipelines run them."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from metamcp_deploy import pipeline
from metamcp_deploy.cli import hints
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.deployments import access, records, start_stop, status
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.health import Status
from metamcp_deploy.knowledge.place import Place
from metamcp_deploy.target import session
from tests import commands
from tests.deploy.tiny_app import with_app

Deploy = Callable[..., pipeline.Facts]
CLIENT = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def on_call(project: Project, isolated: Path, folder: Path) -> CLIENT:
    """Runs a command in an empty folder, with a profile for the embedded workspace."""
    about = json.loads((project.local / "workspace.json").read_text())
    profile = (
        f"host = {about['url']}\nclient_id = {about['client_id']}\nclient_secret = {about['client_secret']}\n"
    )
    (isolated / ".databrickscfg").write_text(f"[oncall]\n{profile}")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        options = ["--app", project.settings.app.name, "-p", "oncall"]
        return commands.run(*words, *options, folder=folder)

    return run


def test_one_look(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    with pytest.raises(DeployError) as caught:
        status.look(site)
    assert caught.value.code is Code.NOT_FOUND
    facts = deployed(project, message="for the demo")
    assert access.healthy(project, 10).status is Status.HEALTHY
    found = status.look(site)
    assert found.healthy
    assert found.running is not None
    assert (found.running.deployment, found.running.message) == (facts["deployment"], "for the demo")
    document = found.as_dict()
    assert (document["compute"], document["state"], document["lock"]) == ("ACTIVE", "RUNNING", None)
    assert document["database"].startswith(f"projects/{facts['app']}/")
    assert document["health"]["status"] == "healthy"
    with session.locked(site):
        assert "developer@example.com" in (status.look(site).lock or "")


def test_an_app_that_is_not_well(project: Project, deployed: Deploy) -> None:
    deployed(with_app(project, env={"MODE": "nodatabase"}))
    assert status.look(session.site(project)).health.status is Status.DATABASE_DOWN


def test_status_and_start_say_why_it_failed(project: Project, deployed: Deploy, on_call: CLIENT) -> None:
    deployed(with_app(project, env={"MODE": "given-up"}))
    for words in (("status",), ("start", "--wait", "60")):
        seen = on_call(*words)
        said = " ".join((seen.stdout + seen.stderr).split())
        assert (seen.returncode, "is failed" in said) == (1, True), said
        assert "failed at step migrate (unpack_failed)" in said
        assert f"--app {project.settings.app.name} -p oncall" in said
        document = json.loads(on_call(*words, "-o", "json").stdout)
        assert (document["health"]["status"], document["error"]["code"]) == ("failed", "unhealthy")


def test_a_crashed_app_says_so_and_is_started_by_start(
    project: Project, deployed: Deploy, on_call: CLIENT
) -> None:
    url = deployed(project)["url"]
    site = session.site(project)
    assert access.healthy(project, 10).status is Status.HEALTHY
    with suppress(requests.exceptions.ConnectionError):
        requests.get(f"{url}/die", headers=site.workspace.app_headers(), timeout=10)
    until(lambda: site.workspace.apps.get(project.settings.app.name).state == "CRASHED")
    seen = on_call("status")
    assert (seen.returncode, "is crashed" in seen.stdout, "exit code 3" in seen.stdout) == (1, True, True)
    started = on_call("start")
    assert (started.returncode, "healthy" in started.stdout) == (0, True), started.stderr


def test_a_secret_that_is_empty_or_gone_is_named_and_the_advice_ends_it(
    project: Project, deployed: Deploy, on_call: CLIENT, folder: Path
) -> None:
    deployed(project)
    site = session.site(project)
    name = project.settings.app.name
    for damage, said in (
        (lambda: site.workspace.secrets.put(name, "BETTER_AUTH_SECRET", Secret("")), "is empty"),
        (lambda: site.workspace.secrets.delete(name, "BETTER_AUTH_SECRET"), "is not in its scope"),
    ):
        damage()
        assert on_call("stop").returncode == 0
        failed = on_call("start", "-o", "json")
        error = json.loads(failed.stdout)["error"]
        assert failed.returncode == 1
        assert said in error["message"], error
        for found in hints.COMMAND.finditer(error["hint"].partition("; if")[0]):
            done = commands.run(*shlex.split(found["words"] + found["rest"]), folder=folder)
            assert done.returncode == 0, done.stderr
        assert access.healthy(project, 10).status is Status.HEALTHY


def test_the_log_names_the_cause_that_the_answer_does_not(project: Project, deployed: Deploy) -> None:
    deployed(with_app(project, env={"MODE": "revoked"}))
    failure = status.look(session.site(project)).health.failure(Place.of(project))
    assert failure is not None
    assert "may not use a table" in failure.message
    assert "permission denied for table endpoints" in (failure.detail or "")


def until(reached: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_stopped_and_started(project: Project, deployed: Deploy) -> None:
    facts = deployed(project)
    site = session.site(project)
    assert start_stop.stop(site).compute == "STOPPED"
    assert start_stop.stop(site).compute == "STOPPED"
    found = status.look(site)
    assert (found.healthy, found.health.status) == (False, Status.STOPPED)
    assert start_stop.start(site).state == "RUNNING"
    assert access.healthy(project, 10).url == facts["url"]
    assert start_stop.start(site).state == "RUNNING"
    assert site.workspace.files.read(f"{site.root}/state/deploy.lock") is None


def test_nothing_to_start(project: Project, bundled: Deploy) -> None:
    bundled(project)
    with pytest.raises(DeployError) as caught:
        start_stop.start(session.site(project))
    assert caught.value.code is Code.NOT_DEPLOYED


def test_on_call_without_a_checkout(
    project: Project, deployed: Deploy, on_call: CLIENT, folder: Path
) -> None:
    facts = deployed(project)
    assert access.healthy(project, 10).status is Status.HEALTHY
    seen = on_call("status")
    assert (seen.returncode, facts["url"] in seen.stdout, "healthy" in seen.stdout) == (0, True, True)
    stopped = on_call("stop", "-o", "json")
    assert (stopped.returncode, json.loads(stopped.stdout)["compute"]) == (0, "STOPPED")
    seen = on_call("status", "-o", "json")
    assert (seen.returncode, json.loads(seen.stdout)["health"]["status"]) == (1, "stopped")
    assert on_call("start").returncode == 0
    listed = json.loads(on_call("history", "-o", "json").stdout)["deployments"]
    assert any(entry["deployment"] == facts["deployment"] for entry in listed)
    assert "developer@example.com" in on_call("history").stdout
    deployed(with_app(project, env={"LOG_LEVEL": "debug"}))
    back = on_call("rollback", "-o", "json")
    assert (back.returncode, json.loads(back.stdout)["of"]) == (0, facts["deployment"]), back.stderr
    site = session.site(project)
    newest = records.newest(site, 1)[0]
    assert (newest.kind, newest.raw["target"]) == ("rollback", "local")
    assert not list(folder.iterdir())
