from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import app_yaml, databricks_yml, rendering
from tests.build.bundle_fields import SCHEMA


def settings(target: str, **more: Any) -> Settings:
    return Settings.model_validate({"target": target, **more})


DEV = settings(
    "dev",
    app={
        "name": "metamcp-dev",
        "env": {"LOG_LEVEL": 'a "b" \\ & <c>: #', "OIDC_CLIENT_SECRET": {"secret": "OIDC_CLIENT_SECRET"}},
        "permissions": [{"level": "CAN_USE", "group_name": "users"}],
    },
    workspace={"host": "https://dev.example.com"},
)
PROD = settings(
    "prod",
    protected=True,
    app={"name": "metamcp", "compute_size": "LARGE"},
    database={"project": "gateway"},
    workspace={"host": "https://prod.example.com", "root_path": "/Workspace/Shared/metamcp"},
)
LOCAL = settings("local", embedded=True)


def project(folder: Path, *targets: Settings, **more: Any) -> Project:
    return Project(folder=folder, settings=targets[0], all_targets=targets, **more)


def rendered(folder: Path, *targets: Settings) -> dict[str, Any]:
    return yaml.safe_load(databricks_yml.text(project(folder, *targets)))  # type: ignore[no-any-return]


def test_app_yaml_starts_the_launcher_and_names_no_target(tmp_path: Path) -> None:
    text = app_yaml.text(project(tmp_path, DEV, PROD))
    assert text == app_yaml.text(project(tmp_path, LOCAL))
    document = yaml.safe_load(text)
    assert document["command"] == ["node", "start.mjs"]
    assert {"name": "BETTER_AUTH_SECRET", "valueFrom": "better-auth-secret"} in document["env"]


def test_targets_share_nothing(tmp_path: Path) -> None:
    document = rendered(tmp_path, DEV, PROD)
    assert set(document) == {"bundle", "targets"}
    dev, prod = (document["targets"][t] for t in ("dev", "prod"))
    app = {t: document["targets"][t]["resources"]["apps"]["metamcp"] for t in ("dev", "prod")}
    assert [a["name"] for a in app.values()] == ["metamcp-dev", "metamcp"]
    assert app["prod"]["compute_size"] == "LARGE"
    assert dev["workspace"]["host"] == "https://dev.example.com"
    assert dev["workspace"]["root_path"].endswith("/.bundle/metamcp-dev/dev")
    assert prod["workspace"]["root_path"] == "/Workspace/Shared/metamcp"
    projects = [t["resources"]["postgres_projects"]["database"] for t in (dev, prod)]
    assert [p["project_id"] for p in projects] == ["metamcp-dev", "gateway"]
    assert [p["lifecycle"]["prevent_destroy"] for p in projects] == [False, True]


def test_the_app_is_ordered_after_its_database_and_started(tmp_path: Path) -> None:
    app = rendered(tmp_path, DEV)["targets"]["dev"]["resources"]["apps"]["metamcp"]
    database = next(r for r in app["resources"] if r["name"] == "database")["postgres"]
    assert database["branch"] == "${resources.postgres_branches.database.id}"
    assert database["database"] == "${resources.postgres_databases.database.id}"
    assert app["source_code_path"] == "./app"
    assert app["lifecycle"] == {"started": True}
    assert app["permissions"] == [{"level": "CAN_USE", "group_name": "users"}]


def test_values_arrive_as_they_are_and_secrets_as_references(tmp_path: Path) -> None:
    app = rendered(tmp_path, DEV)["targets"]["dev"]["resources"]["apps"]["metamcp"]
    env = {e["name"]: e for e in app["config"]["env"]}
    assert env["LOG_LEVEL"]["value"] == 'a "b" \\ & <c>: #'
    assert env["OIDC_CLIENT_SECRET"] == {
        "name": "OIDC_CLIENT_SECRET",
        "value_from": "secret-oidc-client-secret",
    }
    secret = next(r for r in app["resources"] if r["name"] == "secret-oidc-client-secret")
    scope = "${resources.secret_scopes.secrets.name}"
    assert secret["secret"] == {"scope": scope, "key": "OIDC_CLIENT_SECRET", "permission": "READ"}


def test_what_companies_enforce_stands_in_the_bundle_as_its_schema_has_it(tmp_path: Path) -> None:
    tables = {name: f"main.apps.{name}" for name in ("logs_table", "metrics_table", "traces_table")}
    export = [{"unity_catalog": tables}]
    app = {
        "name": "metamcp-dev",
        "budget_policy_id": "b",
        "space": "team",
        "telemetry_export_destinations": export,
    }
    database = {"tags": {"team": "ai"}, "pg_version": 17, "protect_branch": True}
    found = rendered(tmp_path, settings("dev", app=app, database=database))
    Draft202012Validator(SCHEMA).validate(found)
    resources = found["targets"]["dev"]["resources"]
    assert app.items() <= resources["apps"]["metamcp"].items()
    assert resources["postgres_projects"]["database"]["custom_tags"] == [{"key": "team", "value": "ai"}]
    assert resources["postgres_branches"]["database"]["is_protected"] is True


def test_no_login_can_be_for_the_host_of_an_embedded_target(tmp_path: Path) -> None:
    targets = rendered(tmp_path, LOCAL, DEV)["targets"]
    assert targets["local"]["workspace"]["host"] == "https://embedded.invalid"
    assert targets["dev"]["workspace"]["host"] == "https://dev.example.com"


@pytest.mark.parametrize("value", ["${BETTER_AUTH_SECRET}", "x{{ y }}"])
def test_a_placeholder_in_a_setting_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(DeployError) as e:
        databricks_yml.text(project(tmp_path, settings("dev", app={"env": {"X": value}})))
    assert e.value.code is Code.CONFIG_INVALID
    assert "app.env.X of target dev" in e.value.message


def own_template(folder: Path, name: str, text: str) -> Project:
    path = folder / "templates" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return project(folder, DEV.model_copy(update={"templates": folder / "templates"}))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("command: [node, start.mjs]\nenv: [{name: A, value: '${SECRET}'}]", "${SECRET}"),
        ("command: node start.mjs", "command"),
        ("env: []", "command"),
        ("command: [node]\nenv: [{name: A, value: 1}]", "quote it"),
        ("command: [node]\nenv: [{name: A, value_from: b}]", "valueFrom"),
        ("command: [node]\nresources: []", "resources"),
        ("command: [node", "YAML"),
        ("- a", "mapping"),
    ],
)
def test_a_users_app_yaml_is_checked(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(DeployError) as e:
        app_yaml.text(own_template(tmp_path, "bundle/app/app.yaml", text))
    assert e.value.code is Code.BUNDLE_INVALID
    assert named in e.value.message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("bundle: {name: x}\ntargets: {}", "['dev']"),
        ("targets: {dev: {workspace: {host: '${HOST}'}}}", "${HOST}"),
        (
            "targets: {dev: {x: '{{ left }}'}}".replace("{{", "{{ '{{' }}").replace("}}'}", "{{ '}}' }}'}"),
            "{{",
        ),
    ],
)
def test_a_users_databricks_yml_is_checked(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(DeployError) as e:
        databricks_yml.text(own_template(tmp_path, "bundle/databricks.yml", text))
    assert e.value.code is Code.BUNDLE_INVALID
    assert named in e.value.message


def test_a_secrets_value_stops_the_build_without_being_told(tmp_path: Path) -> None:
    known = project(tmp_path, DEV, secrets={"BETTER_AUTH_SECRET": Secret("correct-horse-battery")})
    rendering.check_secrets(known, {"app/app.yaml": b"command"})
    with pytest.raises(DeployError) as e:
        rendering.check_secrets(known, {"app/app.yaml": b"x: correct-horse-battery"})
    assert "app/app.yaml" in e.value.message
    assert "BETTER_AUTH_SECRET" in e.value.message
    assert "horse" not in str(e.value.as_dict())
    rendering.check_secrets(replace(known, secrets={"SHORT": Secret("x")}), {"app/app.yaml": b"x"})
