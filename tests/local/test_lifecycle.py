"""up, down, status, reset: what stays, what goes, and what a kill -9 may leave."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests
from databricks.sdk.errors import NotFound
from databricks.sdk.service.postgres import Project as LakebaseProject

from metamcp_deploy import local
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import lifecycle, server
from tests.local.embedded_world import World, client_for, project_in, world_in

RUNAWAY = {p.name: p.read_bytes() for p in (Path(__file__).parent / "apps" / "runaway").iterdir()}


def test_a_machine_without_threads_is_the_daemons_reason(tmp_path, monkeypatch):
    async def serve(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(server, "serve", serve)
    monkeypatch.setattr(sys, "argv", ["server", "--state", str(tmp_path)])
    before = os.umask(0o022)
    try:
        assert server.main() == 1
    finally:
        os.umask(before)
    reason = lifecycle._why(tmp_path, tmp_path / "server.log")
    assert reason.code is Code.MACHINE_EXHAUSTED
    assert "ulimit -u" in reason.hint


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def processes_with(text):
    found = []
    for process in psutil.process_iter():
        try:
            if text in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return [pid for pid in found if alive(pid) and pid != os.getpid()]


def test_without_a_workspace(tmp_path):
    project = project_in(tmp_path)
    assert local.running(project) is None
    assert local.status(project) == {"running": False, "folder": str(project.local)}
    assert local.down(project) is False
    assert local.reset(project) is False
    assert not project.local.exists()


def test_up_again_changes_nothing(own):
    again = local.up(own.project)
    assert again == own.running
    assert local.status(own.project)["pid"] == own.running.pid


def test_of_two_ups_at_once_one_starts_and_one_joins(tmp_path):
    project = project_in(tmp_path)
    try:
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda _: local.up(project), range(3)))
        assert len({r.pid for r in found}) == 1
    finally:
        local.down(project)


def test_other_options_need_a_new_start(tmp_path):
    made = world_in(tmp_path, token_ttl=500)
    try:
        assert local.up(made.project, token_ttl=500).options["token_ttl"] == 500
        with pytest.raises(DeployError, match="token_ttl = 500") as refused:
            local.up(made.project, token_ttl=600)
        assert refused.value.code is Code.CONFIG_CONFLICT
    finally:
        local.down(made.project)


def test_state_ports_and_apps_survive_down_and_up(own):
    app = own.serve()
    own.client.secrets.create_scope("kept")
    own.client.postgres.create_project(LakebaseProject(), "kept").wait()
    local.down(own.project)
    with pytest.raises(requests.ConnectionError):
        requests.get(app.url, timeout=2)
    again = local.up(own.project)
    assert again.url == own.running.url
    assert again.client_secret == own.running.client_secret
    own.until(lambda: own.state(app.name) == "RUNNING")
    assert own.client.apps.get(app.name).url == app.url
    assert own.get(app, "/").text == "ok"
    assert [s.name for s in own.client.secrets.list_scopes()] == ["kept"]
    assert own.client.postgres.get_project("projects/kept").name == "projects/kept"
    shown = local.status(own.project)
    assert [(a["name"], a["url"], a["state"]) for a in shown["apps"]] == [(app.name, app.url, "RUNNING")]


def test_a_stopped_app_stays_stopped(own):
    app = own.serve()
    own.client.apps.stop(app.name)
    own.until(lambda: own.compute(app.name) == "STOPPED")
    local.down(own.project)
    local.up(own.project)
    assert own.compute(app.name) == "STOPPED"
    own.client.apps.start(app.name)
    own.until(lambda: own.state(app.name) == "RUNNING")


def test_no_process_outlives_stop_or_down(own):
    app = own.serve(RUNAWAY)
    first = own.get(app, "/").json()
    assert all(alive(pid) for pid in first)
    own.client.apps.stop(app.name)
    own.until(lambda: own.compute(app.name) == "STOPPED")
    assert not [pid for pid in first if alive(pid)]
    own.client.apps.start(app.name)
    own.until(lambda: own.state(app.name) == "RUNNING")
    second = own.get(app, "/").json()
    local.down(own.project)
    assert not [pid for pid in second if alive(pid)]
    assert processes_with(str(own.project.local)) == []


def test_a_redeployment_ends_the_children_of_the_old_and_spares_other_apps(own):
    app, other = own.serve(RUNAWAY), own.serve(RUNAWAY)
    old, others = own.get(app, "/").json(), own.get(other, "/").json()
    own.deploy(app.name, f"/Workspace/Shared/{app.name}")
    assert not [pid for pid in old if alive(pid)]
    assert all(alive(pid) for pid in others)


def test_an_app_deaf_to_sigterm_is_killed_after_its_time(own):
    app = own.serve(RUNAWAY | {"app.yaml": "command: [python3, app.py]\nenv: [{name: DEAF, value: '1'}]"})
    pid = own.get(app, "/").json()[0]
    started = time.monotonic()
    local.down(own.project)
    assert not alive(pid)
    assert 14 < time.monotonic() - started < 120


def test_after_kill_9_the_next_up_cleans_and_goes_on(own):
    app = own.serve(RUNAWAY)
    left = own.get(app, "/").json()
    time.sleep(1.5)  # the list of what apps run is written once a second
    os.kill(own.running.pid, signal.SIGKILL)
    own.until(lambda: not alive(own.running.pid))
    assert any(alive(pid) for pid in left)
    assert local.running(own.project) is None
    again = local.up(own.project)
    assert not [pid for pid in left if alive(pid)]
    assert again.url == own.running.url
    own.until(lambda: own.state(app.name) == "RUNNING")
    assert own.get(app, "/").status_code == 200


def test_after_kill_9_down_cleans_too(own):
    app = own.serve(RUNAWAY)
    left = own.get(app, "/").json()
    time.sleep(1.5)
    os.kill(own.running.pid, signal.SIGKILL)
    own.until(lambda: not alive(own.running.pid))
    assert local.down(own.project) is True
    assert not [pid for pid in left if alive(pid)]
    assert processes_with(str(own.project.local)) == []


def test_a_hanging_daemon_is_replaced(own, monkeypatch):
    os.kill(own.running.pid, signal.SIGSTOP)
    monkeypatch.setattr("metamcp_deploy.local.client.SECONDS", 0.5)
    again = local.up(own.project)
    assert again.pid != own.running.pid
    assert not alive(own.running.pid)
    assert again.url == own.running.url


def test_deployments_cut_off_by_kill_9_have_failed(own):
    name = own.name()
    source = own.upload(f"/Workspace/Shared/{name}", {"app.yaml": "command: [sleep, '600']"})
    own.create(name)
    from databricks.sdk.service.apps import AppDeployment

    made = own.client.apps.deploy(name, AppDeployment(source_code_path=source)).response
    os.kill(own.running.pid, signal.SIGKILL)
    own.until(lambda: not alive(own.running.pid))
    local.up(own.project)
    assert own.deployment(name, made).status.state.value == "FAILED"
    assert own.client.apps.get(name).pending_deployment is None


@pytest.mark.parametrize("whose", ["workspace", "app"])
def test_a_remembered_port_that_is_taken_is_named(own, whose):
    app = own.serve()
    port = int((app.url if whose == "app" else own.running.url).rsplit(":", 1)[1])
    local.down(own.project)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(DeployError, match=f":{port}, where process {os.getpid()}") as refused:
            local.up(own.project)
        assert refused.value.code is Code.PORT_TAKEN
        assert processes_with(str(own.project.local)) == []
    assert local.up(own.project).url == own.running.url


def test_reset_deletes_everything(own):
    own.client.secrets.create_scope("gone")
    local.reset(own.project)
    assert not own.project.local.exists()
    again = local.up(own.project)
    assert again.client_id != own.running.client_id
    client = client_for(again.url, again.client_id, again.client_secret.reveal())
    fresh = World(own.project, again, client)
    assert list(fresh.client.secrets.list_scopes()) == []
    with pytest.raises(NotFound):
        fresh.client.postgres.get_project("projects/kept")


@pytest.mark.parametrize("waiting", [True, False])
def test_a_deleted_state_ends_the_workspace(own, waiting):
    app = own.serve(RUNAWAY)
    left = own.get(app, "/").json()
    while own.project.local.exists():  # the workspace may write into it while it is deleted
        shutil.rmtree(own.project.local, ignore_errors=True)
    if waiting:
        own.until(lambda: not alive(own.running.pid))
    else:
        assert local.down(own.project) is True
    assert not [pid for pid in [*left, own.running.pid] if alive(pid)]
    assert processes_with(str(own.project.local)) == []
    assert not own.project.local.exists()


def test_several_run_side_by_side(own, tmp_path_factory):
    other = world_in(tmp_path_factory.mktemp("other"))
    try:
        assert other.running.url != own.running.url
        first, second = own.serve(), other.serve(name="app-x")
        assert own.get(first, "/").text == other.get(second, "/").text == "ok"
        # A token of one opens nothing of the other.
        assert (
            requests.get(second.url, headers=own.headers, timeout=120, allow_redirects=False).status_code
            == 302
        )
        local.down(other.project)
        assert own.get(first, "/").text == "ok"
    finally:
        local.down(other.project)


def test_a_state_that_cannot_be_read_is_kept_and_named(tmp_path):
    project = project_in(tmp_path)
    project.local.mkdir(parents=True)
    (project.local / "state.json").write_text("{broken")
    with pytest.raises(DeployError) as refused:
        local.up(project)
    assert refused.value.code is Code.LOCAL_FAILED
    assert "state.json" in (refused.value.message + (refused.value.detail or ""))
    assert (project.local / "state.json").read_text() == "{broken"
    assert local.running(project) is None


def test_the_extra_is_named_when_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(lifecycle, "_NEEDED", ("no_such_library",))
    with pytest.raises(DeployError, match="no_such_library") as refused:
        local.up(project_in(tmp_path))
    assert refused.value.code is Code.EXTRA_MISSING
    assert "metamcp-deploy[local]" in refused.value.hint


def test_the_package_is_light():
    code = (
        "import sys, metamcp_deploy.local;"
        "heavy = {'aiohttp', 'psutil', 'psycopg', 'databricks', 'yaml'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_workspace_of_root_is_private(own):
    assert stat.S_IMODE((own.project.local / "state.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((own.project.local / "server.log").stat().st_mode) == 0o600


def test_the_callers_environment_does_not_reach_the_apps(tmp_path, monkeypatch):
    monkeypatch.setenv("MARKED_SECRET", "marked")
    monkeypatch.setenv("PYTHONPATH", "/marked")
    made = world_in(tmp_path)
    try:
        app = made.serve()
        assert "marked" not in made.get(app, "/env").text
        environment = psutil.Process(made.running.pid).environ()
        assert "MARKED_SECRET" not in environment
    finally:
        local.down(made.project)
