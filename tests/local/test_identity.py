"""Who is let in, and what everybody else gets."""

import json

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import NotImplemented as NotImplementedByServer
from databricks.sdk.errors import PermissionDenied, Unauthenticated

from metamcp_deploy.local.identity import TOKEN_SECONDS, Identity
from metamcp_deploy.local.store import Store


def test_the_user_logs_in_as_a_machine(world):
    assert world.client.config.auth_type == "oauth-m2m"
    me = world.client.current_user.me()
    assert me.user_name == "developer@example.com"
    assert me.emails[0].value == me.user_name


def test_a_wrong_secret_is_refused_at_the_token_endpoint(world):
    answer = requests.post(
        f"{world.running.url}/oidc/v1/token",
        auth=(world.running.client_id, "wrong"),
        data={"grant_type": "client_credentials", "scope": "all-apis"},
        timeout=120,
    )
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_the_token_endpoint_takes_credentials_in_the_form_too(world):
    form = {
        "grant_type": "client_credentials",
        "client_id": world.running.client_id,
        "client_secret": world.running.client_secret.reveal(),
    }
    answer = requests.post(f"{world.running.url}/oidc/v1/token", data=form, timeout=120)
    assert answer.json()["expires_in"] == TOKEN_SECONDS
    assert answer.json()["token_type"] == "Bearer"


def test_other_grants_are_refused(world):
    answer = requests.post(f"{world.running.url}/oidc/v1/token", data={"grant_type": "password"}, timeout=120)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Bearer a.b.c", "Bearer é", "Basic eDp5"])
def test_no_route_answers_without_a_credential(world, header):
    headers = {"Authorization": header.encode()} if header else {}
    for path in ("/api/2.0/apps", "/api/2.0/preview/scim/v2/Me", "/local/status", "/anything"):
        answer = requests.get(world.running.url + path, headers=headers, timeout=120)
        assert answer.status_code == 401, path
        assert answer.json()["error_code"] == "UNAUTHENTICATED"


def test_a_personal_access_token_opens_the_api(world):
    client = WorkspaceClient(config=Config(host=world.running.url, token=world.running.token.reveal()))
    assert client.current_user.me().user_name == "developer@example.com"


def test_unknown_routes_are_named(world):
    with pytest.raises(NotImplementedByServer, match=r"does not imitate GET /api/2\.0/clusters/list"):
        world.client.api_client.do("GET", "/api/2.0/clusters/list")
    with pytest.raises(NotImplementedByServer, match=r"PUT /api/2\.0/apps"):
        world.client.api_client.do("PUT", "/api/2.0/apps")


def test_an_apps_principal_may_do_little(world):
    app = world.create(world.name())
    client = world.as_app(app)
    assert client.current_user.me().user_name == app.service_principal_client_id
    assert client.apps.get(app.name).url == app.url
    for refused in (
        lambda: client.apps.get("another"),
        lambda: list(client.apps.list()),
        lambda: client.apps.stop(app.name),
        lambda: client.secrets.create_scope("mine"),
        lambda: client.workspace.get_status("/Shared"),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    world.client.apps.delete(app.name)
    world.until(lambda: app.name not in [a.name for a in world.client.apps.list()])
    with pytest.raises(Unauthenticated):
        client.current_user.me()


def test_requests_are_recorded_without_secrets(world):
    world.client.secrets.create_scope("recorded")
    world.client.secrets.put_secret("recorded", "key", string_value="marked-secret-value")
    record = (world.project.local / "requests.jsonl").read_text()
    last = json.loads(record.splitlines()[-1])
    about = {"status": 200, "by": "user", "workspace": world.running.workspace_id}
    assert last == {"method": "POST", "path": "/api/2.0/secrets/put", **about}
    assert "marked-secret-value" not in record
    assert world.running.client_secret.reveal() not in record


def test_private_files_are_private(world):
    for name in ("workspace.json", "state.json"):
        assert (world.project.local / name).stat().st_mode & 0o777 == 0o600


def test_tokens_end_and_cannot_be_changed(tmp_path):
    now = [1_000_000.0]
    identity = Identity(Store(tmp_path), lambda: now[0])
    token = identity.issue(identity.user)
    assert identity.of_token(token) == identity.user
    assert identity.of_token(token[:-2] + ("AA" if token[-2:] != "AA" else "BB")) is None
    assert identity.of_oauth_token(token, "another audience") is None
    assert Identity(Store(tmp_path), lambda: now[0]).of_token(token) == identity.user
    now[0] += TOKEN_SECONDS + 1
    assert identity.of_token(token) is None
