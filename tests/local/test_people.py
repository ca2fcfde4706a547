"""Other people in the workspace: their logins, and that they can do what access lists say and no more."""

import io

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import PermissionDenied
from databricks.sdk.service.apps import App
from databricks.sdk.service.workspace import ImportFormat

from tests import embedded_people
from tests.embedded_people import POLICY, jwt


def person(world, name, **fields):
    return embedded_people.person(world.running, name, **fields)


def client(world, made):
    return WorkspaceClient(
        config=Config(
            host=world.running.url, client_id=made["client_id"], client_secret=made["client_secret"]
        )
    )


def test_a_user_and_a_service_principal(world):
    ada, robot = person(world, "ada@example.com"), person(world, "robot", admin=True)
    assert person(world, "ada@example.com") == ada
    assert client(world, ada).current_user.me().user_name == "ada@example.com"
    assert not client(world, ada).current_user.me().groups
    me = client(world, robot).current_user.me()
    assert (me.user_name, me.display_name) == (robot["client_id"], "robot")
    assert me.groups[0].display == "admins"
    with_token = WorkspaceClient(config=Config(host=world.running.url, token=ada["token"]))
    assert with_token.current_user.me().user_name == "ada@example.com"


def test_only_the_owner_adds_people(world):
    made = person(world, "robot-of-nobody", admin=True)
    with pytest.raises(PermissionDenied, match="owner"):
        client(world, made).api_client.do("POST", "/local/people", body={"name": "eve@example.com"})


def test_an_app_belongs_to_whoever_made_it_and_whom_they_let(world):
    ada, bea = (
        client(world, person(world, "ada@example.com")),
        client(world, person(world, "bea@example.com")),
    )
    name = world.name()
    ada.apps.create(App(name=name), no_compute=True)
    with pytest.raises(PermissionDenied, match="CAN_USE"):
        bea.apps.get(name)
    entry = {"user_name": "bea@example.com", "permission_level": "CAN_USE"}
    ada.api_client.do("PATCH", f"/api/2.0/permissions/apps/{name}", body={"access_control_list": [entry]})
    assert bea.apps.get(name).name == name
    for refused in (
        lambda: bea.apps.delete(name),
        lambda: bea.apps.start(name),
        lambda: bea.api_client.do("GET", f"/api/2.0/permissions/apps/{name}"),
    ):
        with pytest.raises(PermissionDenied, match="CAN_MANAGE"):
            refused()
    ada.apps.delete(name)


def test_attaching_needs_the_right_to_manage_what_is_attached(world):
    name, ada = world.name(), client(world, person(world, "ada@example.com"))
    world.client.secrets.create_scope(name)
    world.client.secrets.put_secret(name, "KEY", string_value="x")
    resource = {"name": "s", "secret": {"scope": name, "key": "KEY", "permission": "READ"}}
    with pytest.raises(PermissionDenied, match=f"MANAGE permission on scopes {name}"):
        ada.api_client.do("POST", "/api/2.0/apps", body={"name": name, "resources": [resource]})


def test_folders(world):
    ada = client(world, person(world, "ada@example.com"))

    def write(who, path):
        who.workspace.upload(path, io.BytesIO(b"x"), format=ImportFormat.RAW, overwrite=True)

    name = world.name()
    ada.workspace.mkdirs(f"/Workspace/Shared/{name}")
    write(ada, f"/Workspace/Shared/{name}/a.bin")
    write(ada, "/Workspace/Users/ada@example.com/a.bin")
    for refused in (
        lambda: write(ada, "/Workspace/Users/developer@example.com/a.bin"),
        lambda: ada.workspace.mkdirs("/Workspace/Team"),
        lambda: ada.workspace.get_status("/Workspace/Users/developer@example.com"),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    world.client.workspace.mkdirs(f"/Workspace/Team/{name}")
    folder = world.client.workspace.get_status(f"/Workspace/Team/{name}").object_id
    listed = f"/api/2.0/permissions/directories/{folder}"
    with pytest.raises(PermissionDenied):
        ada.api_client.do("GET", listed)
    entry = {"user_name": "ada@example.com", "permission_level": "CAN_MANAGE"}
    world.client.api_client.do("PATCH", listed, body={"access_control_list": [entry]})
    write(ada, f"/Workspace/Team/{name}/a.bin")
    levels = {
        e.get("user_name") or e.get("group_name"): [p["inherited"] for p in e["all_permissions"]]
        for e in ada.api_client.do("GET", listed)["access_control_list"]
    }
    assert levels == {"ada@example.com": [False], "admins": [True]}


def test_scopes(world):
    name, ada = world.name(), client(world, person(world, "ada@example.com"))
    world.client.secrets.create_scope(name)
    with pytest.raises(PermissionDenied, match="READ"):
        list(ada.secrets.list_secrets(name))
    entry = {"scope": name, "principal": "ada@example.com", "permission": "WRITE"}
    world.client.api_client.do("POST", "/api/2.0/secrets/acls/put", body=entry)
    ada.secrets.put_secret(name, "KEY", string_value="x")
    with pytest.raises(PermissionDenied, match="MANAGE"):
        list(ada.secrets.list_acls(name))


def test_projects(world):
    name, ada = world.name(), client(world, person(world, "ada@example.com"))
    path = f"/api/2.0/postgres/projects/{name}"
    world.client.api_client.do(
        "POST", "/api/2.0/postgres/projects", query={"project_id": name}, body={"spec": {}}
    )
    listing = "/api/2.0/postgres/projects"
    world.until(lambda: f"projects/{name}" in str(world.client.api_client.do("GET", listing)))
    assert ada.api_client.do("GET", path)
    with pytest.raises(PermissionDenied, match="CAN_MANAGE"):
        ada.api_client.do("POST", f"{path}/branches", query={"branch_id": "dev"}, body={"spec": {}})
    listed = f"/api/2.0/permissions/database-projects/{name}"
    entry = {"user_name": "ada@example.com", "permission_level": "CAN_MANAGE"}
    world.client.api_client.do("PUT", listed, body={"access_control_list": [entry]})
    assert ada.api_client.do("GET", listed)["object_id"] == f"/database-projects/{name}"


@pytest.mark.parametrize("kind", ["env-oidc", "file-oidc"])
def test_a_token_of_another_issuer_is_a_login(world, kind, monkeypatch, tmp_path):
    robot = person(world, "pipeline", federation=POLICY)
    monkeypatch.setenv("DATABRICKS_OIDC_TOKEN", jwt())
    (tmp_path / "token").write_text(jwt())
    config = Config(
        host=world.running.url,
        client_id=robot["client_id"],
        auth_type=kind,
        oidc_token_filepath=str(tmp_path / "token"),
    )
    assert WorkspaceClient(config=config).current_user.me().display_name == "pipeline"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("nonsense", "no JWT"),
        (jwt(key="another"), "signed"),
        (jwt(sub="repo:example/other:environment:dev"), "subject"),
        (jwt(aud="https://elsewhere.example.com"), "audience"),
        (jwt(exp=1), "expired"),
    ],
)
def test_other_tokens_are_none(world, token, why):
    robot = person(world, "pipeline", federation=POLICY)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": token,
        "client_id": robot["client_id"],
    }
    answer = requests.post(f"{world.running.url}/oidc/v1/token", data=form, timeout=120)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert why in answer.json()["error_description"]
