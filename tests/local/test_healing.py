"""What dies in the embedded workspace is noticed, shown and started again; its options outlive `down`."""

import asyncio
import json
import os
import signal

import psycopg
import pytest
import requests
from databricks.sdk.service.postgres import Project

from metamcp_deploy import local
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.lakebase.server import Lakebase
from metamcp_deploy.postgres import Cluster, postmaster
from metamcp_deploy.resources import PACKAGE
from tests import commands

USER = "developer@example.com"
ENDPOINT = "projects/kept/branches/production/endpoints/primary"


def answers(world):
    password = world.client.postgres.generate_database_credential(ENDPOINT).token
    at = world.place(ENDPOINT)
    with psycopg.connect(**at, dbname="databricks_postgres", user=USER, password=password) as opened:
        return opened.execute("SELECT 1").fetchone() == (1,)


def kill_postgres(world):
    data = Cluster(world.project.local / "postgres").data
    os.kill(postmaster.living(data).pid, signal.SIGKILL)
    return data


def shown(world):
    return local.status(world.project)["postgres"]


def test_a_killed_postgres_runs_again(own):
    own.client.postgres.create_project(Project(), "kept").wait()
    assert (shown(own)["state"], shown(own)["restarts"]) == ("RUNNING", 0)
    kill_postgres(own)
    own.until(lambda: shown(own)["restarts"] == 1)
    assert shown(own)["state"] == "RUNNING"
    assert answers(own)

    data = Cluster(own.project.local / "postgres").data
    away = data.with_name("away")
    data.rename(away)  # its processes keep the folder, wherever it is
    for process in filter(None, [postmaster.recorded(away)]):
        os.kill(process.pid, signal.SIGKILL)
    own.until(lambda: shown(own)["state"] == "DOWN" and "are gone" in shown(own)["problem"])
    status = commands.run("local", "status", folder=own.project.folder)
    assert "postgres  DOWN" in status.stdout
    assert "Next: metamcp-deploy local up" in status.stdout
    with pytest.raises(DeployError) as caught:
        local.up(own.project)
    assert (caught.value.code, "local reset" in caught.value.hint) == (Code.POSTGRES_FAILED, True)
    away.rename(data)
    assert local.up(own.project).pid == own.running.pid
    assert answers(own)


def test_a_postgres_that_was_started_again_belongs_to_no_app(own):
    made = own.serve()
    data = kill_postgres(own)
    own.until(lambda: shown(own)["restarts"] == 1 and shown(own)["state"] == "RUNNING")
    server = postmaster.living(data)
    own.client.apps.stop(made.name).result()
    assert postmaster.living(data) == server
    assert shown(own)["restarts"] == 1


def test_up_runs_a_crashed_app_again(own):
    made = own.serve()
    ledger = json.loads((own.project.local / "processes.json").read_text())
    for pid, _ in ledger[made.name]:
        os.kill(int(pid), signal.SIGKILL)
    own.until(lambda: own.state(made.name) == "CRASHED")  # the platform leaves it so
    local.up(own.project)
    own.until(lambda: own.state(made.name) == "RUNNING")
    assert own.get(made, "/env").status_code == 200


def test_options_outlive_down(tmp_path):
    def up(*words):
        done = commands.run("local", "up", *words, "-o", "json", folder=tmp_path)
        return json.loads(done.stdout)["options"], done.stderr

    try:
        up("--overlap", "--token-ttl", "600")
        commands.run("local", "down", folder=tmp_path)
        options, said = up()
        assert (options["overlap"], options["token_ttl"]) == (True, 600)
        assert "--token-ttl 600 --overlap" in said
        commands.run("local", "down", folder=tmp_path)
        options, said = up("--gap")
        assert (options["overlap"], options["token_ttl"], "--overlap" in said) == (False, 600, False)
    finally:
        commands.run("local", "reset", "--auto-approve", folder=tmp_path)


def test_a_listener_that_died_listens_again(tmp_path):
    async def scenario():
        lakebase = Lakebase(tmp_path, cluster=Cluster(tmp_path / "pg", durable=False))
        try:
            await lakebase.start()
            port = lakebase.port
            lakebase._proxy._accepting.cancel()
            await asyncio.sleep(0)
            assert await lakebase.heal()
            assert not await lakebase.heal()
            assert lakebase.port == port
            asking = await asyncio.open_connection(lakebase.host, port)
            asking[1].close()
        finally:
            await lakebase.stop()
            lakebase.cluster.remove()

    asyncio.run(scenario())


def test_the_landing_page_shows_how_it_is_and_no_secret(world):
    world.client.api_client.do("POST", "/local/people", body={"name": "<b>robot</b>"})
    made = world.serve()
    url = world.running.url
    page = requests.get(url, timeout=120)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f'<a href="{made.url}">{made.name}</a>' in page.text
    assert "ACTIVE, RUNNING" in page.text
    assert "&lt;b&gt;robot&lt;/b&gt;" in page.text
    assert 'content="width=device-width' in page.text
    assert "color-scheme:light dark" in page.text
    assert "://" not in page.text.replace(url, "").replace("http://127.0.0.1:", "")
    state = json.loads((world.project.local / "state.json").read_text())
    held = [
        *state["identity"].values(),
        *(p[k] for p in state["people"].values() for k in ("client_secret", "token")),
    ]
    held += [app["principal"]["client_secret"] for app in state["apps"].values()]
    held += [Cluster(world.project.local / "postgres").password().reveal()]
    assert not [secret for secret in held if secret in page.text]
    assert requests.get(f"{url}/favicon.ico", timeout=120).status_code == 204


def test_its_style_is_that_of_the_launchers_pages(world):
    style = (PACKAGE / "launcher" / "page" / "style.mjs").read_text().split("`")[1]
    assert style in requests.get(world.running.url, timeout=120).text
