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

from metamcp_deploy import local, pipeline, status
from metamcp_deploy.cli import hints
from metamcp_deploy.cli.options import Run
from metamcp_deploy.cli.views import watching
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.deployments import access, records, start_stop
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.health import Status
from metamcp_deploy.knowledge.place import Place
from metamcp_deploy.local import faults
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
    assert (document["identity"], document["schema_version"]) == ("developer@example.com", 1)
    assert "tells no status" in document["unknown"]["inside"]
    assert (document["data"]["kind"], document["data"]["migrations"]["applied"]) == ("autoscaling", 0)
    assert (document["compute"], document["state"], document["lock"]) == ("ACTIVE", "RUNNING", None)
    assert document["database"].startswith(f"projects/{facts['app']}/")
    assert document["health"]["status"] == "healthy"
    with session.locked(site):
        assert "developer@example.com" in (status.look(site).lock or "")


def asked_of_the_workspace(project: Project) -> list[str]:
    """Paths of the user's requests so far."""
    rows = map(json.loads, (project.local / "requests.jsonl").read_text().splitlines())
    return [row["path"] for row in rows if row["by"] == "user"]


INSIDE = {
    "format": 1,
    "status": "up",
    "started": "2026-11-21T10:00:00.000Z",
    "uptime_seconds": 7200.0,
    "services": {
        "backend": {"up": True, "since": "2026-11-21T11:00:00.000Z", "restarts": 2},
        "frontend": {"up": True, "since": "2026-11-21T10:00:00.000Z", "restarts": 0},
    },
    "credential": {"kind": "autoscaling", "age_seconds": 600, "expires_in_seconds": 3000, "renewals": 3},
    "sessions": {"open": 4},
    "processes": {
        "count": 6,
        "memory_bytes": 200_000_000,
        "by_server": [{"command": "npx", "package": "@x/files", "servers": 3, "count": 6}],
    },
}


def test_one_screen_in_ten_requests(project: Project, deployed: Deploy, on_call: CLIENT) -> None:
    deployed(with_app(project, env={"INSIDE": json.dumps(INSIDE)}), message="for the demo")
    assert access.healthy(project, 10).status is Status.HEALTHY
    before = len(asked_of_the_workspace(project))
    seen = on_call("status")
    asked = asked_of_the_workspace(project)[before:]
    assert seen.returncode == 0, seen.stderr
    assert len(asked) <= 10, asked
    rows = {line[:11].strip(): line[11:].strip() for line in seen.stdout.splitlines()}
    assert rows["backend"] == "! up 60 min, 2 restarts"
    assert rows["frontend"] == "✓ up 2.0 h, 0 restarts"
    assert rows["credential"] == "✓ 10 min old, ends in 50 min"
    assert rows["MCP"].startswith("4 sessions, 6 processes of MCP servers, 200.0 MB; @x/files × 3")
    assert rows["migrations"] == "✓ 0 applied, 0 pending, 0 unknown"
    assert rows["identity"] == "developer@example.com"
    assert " UTC by developer@example.com" in rows["running"]
    document = json.loads(on_call("status", "-o", "json").stdout)
    assert document["inside"]["services"]["backend"]["uptime_seconds"] == 3600
    assert (document["unknown"], document["inside"]["sessions"]["open"]) == ({}, 4)


def test_what_does_not_answer_is_unknown(
    project: Project, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(with_app(project, env={"INSIDE": "never"}))
    assert access.healthy(project, 10).status is Status.HEALTHY
    site = session.site(project)
    monkeypatch.setattr(status, "SECONDS", 1.0)
    running = local.reached(project)
    with faults.injected(running, faults.Fault("stall", "POST /api/2.0/postgres/credentials", seconds=2)):
        found = status.look(site)
    assert found.healthy
    assert found.unknown["data"] == "the database: no answer within 1 s"
    assert found.unknown["inside"] == "the launcher does not answer"
    start_stop.stop(site)
    assert status.look(site).unknown["inside"] == "the compute is STOPPED"


def test_all_that_this_tool_deployed(
    project: Project, deployed: Deploy, on_call: CLIENT, folder: Path
) -> None:
    deployed(project)
    assert access.healthy(project, 10).status is Status.HEALTHY
    workspace, name = session.site(project).workspace, project.settings.app.name
    workspace.apps.create(f"{name}-other", {"description": "somebody else's"})
    before = len(asked_of_the_workspace(project))
    seen = commands.run("status", "--all", "-p", "oncall", "-o", "json", folder=folder)
    asked = asked_of_the_workspace(project)[before:]
    apps = {one["app"]: one for one in json.loads(seen.stdout)["apps"]}
    assert (apps[name]["health"], apps[name]["by"]) == ("healthy", "developer@example.com")
    assert f"{name}-other" not in apps
    assert asked.count("/api/2.0/apps") == 1
    assert len(asked) <= 10, asked
    shown = commands.run("status", "--all", "-p", "oncall", folder=folder).stdout
    assert any(line.split()[:3] == ["✓", name, "healthy"] for line in shown.splitlines()), shown
    workspace.apps.delete(f"{name}-other")


def test_watching_shows_what_changed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    looks = (
        [("state", "RUNNING", ""), ("backend", "up 5 s", "")],
        [("state", "CRASHED", ""), ("backend", "up 9 s", "")],
    )
    following = iter(looks)
    watching.watch(Run(), lambda: ({}, next(following)), every=0, times=2)
    first, *more = capsys.readouterr().out.splitlines()[1:]
    assert (first.split(), len(more)) == (["backend", "up", "5", "s"], 1)
    assert more[0].split()[:2] == ["state", "CRASHED"]
    assert more[0].endswith(" UTC)")


def test_restarted(project: Project, deployed: Deploy, on_call: CLIENT) -> None:
    facts = deployed(project)
    assert access.healthy(project, 10).status is Status.HEALTHY
    headers = session.site(project).workspace.app_headers()

    def pid() -> int:
        return int(requests.get(f"{facts['url']}/pid", headers=headers, timeout=10).json()["pid"])

    before = pid()
    seen = on_call("restart")
    assert (seen.returncode, "healthy" in seen.stdout) == (0, True), seen.stderr
    assert pid() != before
    of_one = on_call("restart", "backend", "-o", "json")
    error = json.loads(of_one.stdout)["error"]
    assert (of_one.returncode, error["code"]) == (1, "feature_missing")
    assert error["hint"].endswith(f"metamcp-deploy restart --app {project.settings.app.name} -p oncall")


def test_the_page_is_opened_where_there_is_a_browser(
    project: Project, bundled: Deploy, on_call: CLIENT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bundled(project)["url"]
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert json.loads(on_call("open", "-o", "json").stdout)["opened"] is False
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    assert on_call("open", "--operators").stdout == f"{url}/.metamcp-deploy/\n"
    assert seen.read_text() == f"{url}/.metamcp-deploy/\n"


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
