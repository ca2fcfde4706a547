"""What the platform refuses, is refused here: unknown fields, wrong values, states that do not fit."""

from __future__ import annotations

import pytest
from databricks.sdk.errors import BadRequest, DatabricksError, InvalidParameterValue
from databricks.sdk.service.apps import App

from tests.local.embedded_world import World


@pytest.mark.parametrize(
    "fields",
    [
        {"nonsense": 1},
        {"compute_size": "HUGE"},
        {"compute_max_instances": 0},
        {"resources": "none"},
        {"user_api_scopes": "sql"},
        {"user_api_scopes": ["nonsense.things"]},
        {"compute_max_instances": 3},
        {"telemetry_export_destinations": [{"unity_catalog": {"logs_table": "a.b.c"}}]},
    ],
)
def test_apps_have_known_fields_with_known_values(world: World, fields: dict) -> None:
    with pytest.raises(InvalidParameterValue):
        world.client.api_client.do(
            "POST", "/api/2.0/apps", query={"no_compute": "true"}, body={"name": world.name(), **fields}
        )


@pytest.mark.parametrize(
    "fields",
    [
        {"nonsense": 1},
        {"mode": "QUICK"},
        {"health_check": {"timeout": "60s"}},
        {"command": "node start.mjs"},
        {"env_vars": [{"name": "A"}]},
        {"env_vars": [{"name": "A", "value": "1", "valueFrom": "x"}]},
    ],
)
def test_deployments_too(world: World, fields: dict) -> None:
    name = world.create(world.name()).name
    with pytest.raises(InvalidParameterValue):
        world.client.api_client.do(
            "POST", f"/api/2.0/apps/{name}/deployments", body={"source_code_path": "/Shared", **fields}
        )


def test_instances_of_an_app_are_kept_and_shown(world: World) -> None:
    name = world.name()
    bounds = {"compute_min_instances": 1, "compute_max_instances": 3}
    world.client.apps.create(App(name=name, **bounds), no_compute=True)
    assert world.client.apps.get(name).compute_max_instances == 3


def test_a_user_token_is_forwarded_to_an_app_with_scopes(world: World) -> None:
    app = world.serve(user_api_scopes=["sql"])
    assert app.effective_user_api_scopes == ["iam.current-user:read", "iam.access-control:read", "sql"]
    seen = world.get(app, "/headers", headers={"X-Forwarded-Access-Token": "forged"}).json()
    assert seen["x-forwarded-access-token"].count(".") == 2
    plain = world.serve()
    assert "x-forwarded-access-token" not in world.get(plain, "/headers").json()


def test_an_app_left_in_error_can_be_started_or_deleted(world: World) -> None:
    app = world.serve()
    world.client.api_client.do("POST", f"/local/apps/{app.name}/broken")
    assert (world.compute(app.name), world.state(app.name)) == ("ERROR", "UNAVAILABLE")
    with pytest.raises(DatabricksError, match="ERROR state"):
        world.client.apps.deploy(app.name, app.active_deployment)
    with pytest.raises(DatabricksError, match="already"):
        world.client.apps.stop(app.name)
    world.client.apps.start(app.name)
    world.until(lambda: world.state(app.name) == "RUNNING")
    world.client.api_client.do("POST", f"/local/apps/{app.name}/broken")
    world.client.apps.delete(app.name)


VAULT = {"resource_id": "/subscriptions/1/vaults/v", "dns_name": "https://v.vault.example.com/"}


def test_a_scope_that_a_vault_keeps_is_read_only(world: World) -> None:
    api, name = world.client.api_client, world.name()
    body = {"scope": name, "scope_backend_type": "AZURE_KEYVAULT", "backend_azure_keyvault": VAULT}
    with pytest.raises(InvalidParameterValue, match="resource_id"):
        api.do("POST", "/api/2.0/secrets/scopes/create", body={**body, "backend_azure_keyvault": {}})
    api.do("POST", "/api/2.0/secrets/scopes/create", body=body)
    shown = next(s for s in world.client.secrets.list_scopes() if s.name == name)
    assert (shown.backend_type.value, shown.keyvault_metadata.dns_name) == (
        "AZURE_KEYVAULT",
        VAULT["dns_name"],
    )
    with pytest.raises(BadRequest, match="KeyVault-backed"):
        world.client.secrets.put_secret(name, "key", string_value="v")
    api.do("POST", "/local/vault", body={"scope": name, "key": "key", "string_value": "v"})
    assert world.client.secrets.get_secret(name, "key").value == "dg=="
    with pytest.raises(BadRequest, match="KeyVault-backed"):
        world.client.secrets.delete_secret(name, "key")
    with pytest.raises(InvalidParameterValue, match="scope_backend_type"):
        api.do("POST", "/api/2.0/secrets/scopes/create", body={"scope": "x", "scope_backend_type": "AWS"})


def test_a_stopped_instance_takes_no_login_and_comes_back(world: World) -> None:
    api, name = world.client.api_client, world.name()
    path = f"/api/2.0/database/instances/{name}"

    def state() -> str:
        return str(api.do("GET", path)["state"])

    def turn(stopped: bool) -> None:
        api.do("PATCH", path, query={"update_mask": "stopped"}, body={"stopped": stopped})

    api.do("POST", "/api/2.0/database/instances", body={"name": name, "capacity": "CU_1"})
    with pytest.raises(DatabricksError, match="STARTING"):
        turn(True)
    world.until(lambda: state() == "AVAILABLE")
    turn(True)
    world.until(lambda: state() == "STOPPED")
    assert api.do("GET", path)["effective_stopped"] is True
    assert "read_write_dns" not in api.do("GET", path)
    turn(False)
    world.until(lambda: state() == "AVAILABLE")
