"""Failures on purpose: each kind, which calls it strikes, and whose."""

import json
import threading
import time

import psycopg
import pytest
import requests
from databricks.sdk.errors import DatabricksError, NotFound
from databricks.sdk.service.apps import App
from databricks.sdk.service.postgres import Project as LakebaseProject

from metamcp_deploy import local
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import faults
from metamcp_deploy.local.faults import HEADER, Fault, presets
from tests import commands

FOLDER = "/api/2.0/workspace/mkdirs"


def post(world, path, body, **headers):
    everything = world.headers | headers
    return requests.post(f"{world.running.url}{path}", json=body, headers=everything, timeout=120)


def there(world, path):
    try:
        return bool(world.client.workspace.get_status(path))
    except NotFound:
        return False


def injected(world, *words, **fields):
    return faults.injected(world.running, Fault(*words, **fields))


def test_a_status_strikes_the_calls_it_is_for_and_does_nothing(world):
    with injected(world, "503", f"POST {FOLDER}", calls="2-3", seconds=2) as struck:
        seen = [post(world, FOLDER, {"path": f"/Shared/status-{n}"}) for n in range(4)]
        assert struck() == 2
    assert [r.status_code for r in seen] == [200, 503, 503, 200]
    assert seen[1].headers["Retry-After"] == "2"
    assert seen[1].json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert [there(world, f"/Shared/status-{n}") for n in range(4)] == [True, False, False, True]


def test_reset_does_nothing_and_lost_does_it(world):
    for what, done in (("reset", False), ("lost", True)):
        with injected(world, what, f"POST {FOLDER}", calls="1"):
            with pytest.raises(requests.ConnectionError):
                post(world, FOLDER, {"path": f"/Shared/{what}"})
            assert there(world, f"/Shared/{what}") is done
            assert post(world, FOLDER, {"path": f"/Shared/{what}"}).ok


def test_truncated_json_has_the_length_it_says(world):
    with injected(world, "truncated", "GET /api/2.0/preview/scim/v2/Me"):
        answer = requests.get(
            f"{world.running.url}/api/2.0/preview/scim/v2/Me", headers=world.headers, timeout=120
        )
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content) > 20
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_file_comes_half(world):
    path = world.upload("/Workspace/Shared/half", {"x.bin": b"0123456789"})
    with injected(world, "truncated", "GET /api/2.0/workspace/export"):
        assert world.client.workspace.download(f"{path}/x.bin").read() == b"01234"
    assert world.client.workspace.download(f"{path}/x.bin").read() == b"0123456789"


@pytest.mark.parametrize("what", ["503", "reset", "lost"])
@pytest.mark.parametrize("size", [10, 5_000_000])
def test_uploads_fail_too(world, what, size):
    name = f"upload-{what}-{size}"
    url = f"{world.running.url}/api/2.0/workspace-files/import-file/Shared%2F{name}"
    with injected(world, what, "POST /api/2.0/workspace-files/import-file/*", calls="1") as struck:
        try:
            assert requests.post(url, data=b"x" * size, headers=world.headers, timeout=120).status_code == 503
        except requests.ConnectionError:
            assert what != "503"
        assert struck() == 1
        assert there(world, f"/Shared/{name}") is (what == "lost")
        again = requests.post(url, data=b"x" * size, headers=world.headers, timeout=120)
        assert again.status_code == (409 if what == "lost" else 200)


def test_a_stall_holds_the_answer(world):
    with injected(world, "stall", f"POST {FOLDER}", seconds=0.5):
        started = time.monotonic()
        assert post(world, FOLDER, {"path": "/Shared/stalled"}).ok
        assert 0.4 < time.monotonic() - started < 60


def test_an_endless_stall_ends_when_it_is_cleared(world):
    name = faults.add(world.running, Fault("stall", f"POST {FOLDER}"))
    got = []
    asking = threading.Thread(target=lambda: got.append(post(world, FOLDER, {"path": "/Shared/waited"})))
    asking.start()
    world.until(lambda: faults.active(world.running)[0]["struck"] == 1)
    assert there(world, "/Shared/waited")  # done, and not answered
    assert not got
    assert faults.clear(world.running, name) == 1
    asking.join(60)
    assert got[0].ok


def test_one_request_asks_for_its_own_fault(world):
    path = {"path": "/Shared/header"}
    refused = post(world, FOLDER, path, **{HEADER: "429 3"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
    assert post(world, FOLDER, path, **{HEADER: "nonsense"}).status_code == 400
    with pytest.raises(requests.ConnectionError):
        post(world, FOLDER, path, **{HEADER: "lost"})
    assert there(world, "/Shared/header")
    for login in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
        answer = requests.get(
            f"{world.running.url}/oidc/.well-known/oauth-authorization-server",
            headers={HEADER: "503", **login},
            timeout=120,
        )
        assert answer.status_code == 401


def test_faults_of_the_app_leave_its_operator_alone(own):
    app = own.serve()
    client = {"grant_type": "client_credentials", "scope": "all-apis"}
    by = {
        "app": (app.service_principal_client_id, own.secret_of(app)),
        "operator": (own.running.client_id, own.running.client_secret.reveal()),
    }

    def ask(who):
        return requests.post(f"{own.running.url}/oidc/v1/token", data=client, auth=by[who], timeout=120)

    with injected(own, "503", "POST /oidc/v1/token", by="app"):
        assert ask("operator").ok
        refused = ask("app")
        assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    with injected(own, "401", "* *", by="operator"):
        assert ask("operator").status_code == 401
        assert ask("app").ok
    assert ask("operator").ok


def test_logins_to_postgres(own):
    own.client.postgres.create_project(LakebaseProject(), "sleepy").wait()
    endpoint = "projects/sleepy/branches/production/endpoints/primary"
    token = own.client.postgres.generate_database_credential(endpoint).token
    at = own.place(endpoint)
    user = own.client.current_user.me().user_name

    def connect():
        return psycopg.connect(
            host=at["host"], port=at["port"], dbname="databricks_postgres", user=user, password=token
        )

    with injected(own, "57P03", "LOGIN *", calls="1", message="the database system is starting up"):
        with pytest.raises(psycopg.OperationalError, match="starting up"):
            connect()
        connect().close()
    with (
        injected(own, "28P01", "LOGIN databricks_*"),
        pytest.raises(psycopg.OperationalError, match="password"),
    ):
        connect()
    with injected(own, "28P01", "LOGIN *", seconds=0.01):
        connect().close()  # older than that
    with (
        injected(own, "28P01", "LOGIN *", seconds=600),
        pytest.raises(psycopg.OperationalError, match="password"),
    ):
        connect()
    with injected(own, "reset", "LOGIN other"):
        connect().close()
    with injected(own, "reset", "LOGIN *"), pytest.raises(psycopg.OperationalError):
        connect()


def test_an_answer_of_an_app_is_cut_after_a_while(own):
    app = own.serve()
    with (
        injected(own, "reset", f"STREAM {app.name}", seconds=0.3),
        pytest.raises(requests.exceptions.ChunkedEncodingError),
    ):
        own.get(app, "/silence")
    assert own.get(app, "/events").text.count("data:") == 3


def test_what_is_recorded(own):
    with (
        injected(own, "503", f"POST {FOLDER}", calls="1"),
        injected(own, "lost", f"POST {FOLDER}", calls="2"),
    ):
        post(own, FOLDER, {"path": "/Shared/recorded"})
        with pytest.raises(requests.ConnectionError):
            post(own, FOLDER, {"path": "/Shared/recorded"})
    lines = map(json.loads, (own.project.local / "requests.jsonl").read_text().splitlines())
    assert [(r["status"], r["fault"]) for r in lines if "fault" in r] == [(503, "503"), (200, "lost")]


@pytest.mark.parametrize(
    "words",
    [
        ("5030", "* *"),
        ("200", "* *"),
        ("lost", "POST"),
        ("lost", "post /x"),
        ("lost", "LOGIN *"),
        ("503", "LOGIN *"),
        ("503", "STREAM *"),
        ("lost", "* *", "0"),
        ("lost", "* *", "3-2"),
        ("lost", "* *", "1", "somebody"),
        ("stall", "* *", "1", None, -1.0),
    ],
)
def test_a_fault_that_could_never_strike_is_refused(words):
    with pytest.raises(DeployError) as refused:
        Fault(*words)
    assert refused.value.code is Code.USAGE


def test_every_preset_says_what_it_means():
    assert list(presets.PRESETS) == list(presets.MEANINGS)


def test_the_limit_of_apps_by_name(world):
    faults.add(world.running, presets.PRESETS["app-limit"], "app-limit")
    try:
        with pytest.raises(DatabricksError, match="maximum limit of 100 apps"):
            world.client.apps.create(App(name=world.name()), no_compute=True)
    finally:
        faults.clear(world.running, "app-limit")


def test_commands(own):
    def run(*words):
        return commands.run("local", "faults", *words, folder=own.project.folder)

    assert "503 at POST /oidc/v1/token" in run("add", "token-endpoint-down").stdout
    lost = run("add", "lost", "POST /api/2.0/apps", "--calls", "1", "-o", "json")
    assert json.loads(lost.stdout) == {"name": "fault-1"}
    shown = run("list").stdout
    assert "active  token-endpoint-down  503  POST /oidc/v1/token  struck 0 times" in shown
    assert "database-asleep" in shown
    assert local.status(own.project)["faults"][1]["name"] == "fault-1"
    misspelt = run("add", "database-aslep")
    assert (misspelt.returncode, "local faults add database-asleep" in misspelt.stderr) == (2, True)
    unknown = run("clear", "none")
    assert (unknown.returncode, "fault-1" in unknown.stderr) == (1, True)
    assert "Cleared 2." in run("clear").stdout
    local.down(own.project)
    down = run("list")
    assert (down.returncode, "local up" in down.stderr) == (1, True)


def test_down_forgets_them(own):
    faults.add(own.running, Fault("503"))
    local.down(own.project)
    assert faults.active(local.up(own.project)) == []
