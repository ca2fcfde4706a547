"""databricks.yml: valid for the official command line, and what a template of the user adds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from metamcp_deploy import atomic
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import databases, databricks_yml, desired
from metamcp_deploy.target.variables import EnvVar
from tests.build.bundle_fields import SCHEMA

ME = "ada@example.com"
SIZED = {"min_cu": 1, "max_cu": 4, "suspend_after": "never", "history_days": 14}
TARGETS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all": {
        "app": {
            "name": "gateway",
            "description": "ü: 'quoted', #1",
            "env": {"LOG_LEVEL": "yes", "KEY": {"secret": "KEY"}},
            "permissions": [{"level": "CAN_USE", "group_name": "users"}],
            "user_api_scopes": ["sql", "files.files"],
        },
        "database": SIZED,
        "workspace": {"host": "https://dev.example.com", "root_path": "/Workspace/Shared/gateway"},
        "protected": True,
    },
    "instance": {"database": {"kind": "provisioned", "capacity": "CU_4"}, "app": {"name": "old"}},
    "outside": {"database": {"kind": "external", "url": {"secret": "DB"}}, "app": {"name": "outside"}},
    "theirs": {
        "app": {"name": "theirs", "managed": False},
        "database": {"managed": False},
        "secrets": {"managed": False},
    },
    "local": {"embedded": True},
}


def project(folder: Path, target: str, **more: Any) -> Project:
    every = {n: Settings.model_validate({"target": n, **s}) for n, s in TARGETS.items()}
    every[target] = every[target].model_copy(update=more)
    made = Project(folder, every[target], tuple(every.values()))
    made.bundle.mkdir(parents=True, exist_ok=True)
    return made


def rendered(made: Project) -> Project:
    (made.bundle / "databricks.yml").write_text(databricks_yml.text(made))
    return made


def test_the_official_command_line_would_take_it(tmp_path: Path) -> None:
    document = yaml.safe_load(databricks_yml.text(project(tmp_path, "all")))
    Draft202012Validator(SCHEMA).validate(document)
    assert set(document["targets"]) == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_read_is_what_the_settings_want(tmp_path: Path, target: str) -> None:
    found = databricks_yml.read(rendered(project(tmp_path, target)), ME)
    root = "/Workspace/Shared/gateway" if target == "all" else f"/Workspace/Users/{ME}/.bundle/"
    assert found.root.startswith(root)
    assert found == desired.of(project(tmp_path, target).settings, found.root)
    assert "${" not in str(found)


def test_what_others_manage_is_named_and_not_listed(tmp_path: Path) -> None:
    target = yaml.safe_load(databricks_yml.text(project(tmp_path, "theirs")))["targets"]["theirs"]
    assert target["resources"] == {}
    half = project(tmp_path, "theirs", app=Settings.model_validate({"target": "x"}).app)
    resources = yaml.safe_load(databricks_yml.text(half))["targets"]["theirs"]["resources"]
    assert list(resources) == ["apps"]
    attached = resources["apps"]["metamcp"]["resources"]
    assert attached[0]["postgres"]["database"] == "projects/metamcp/branches/production/databases/metamcp-app"
    assert attached[1]["secret"]["scope"] == "metamcp"


def test_a_file_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="There is no") as caught:
        databricks_yml.read(project(tmp_path, "all"), ME)
    assert "metamcp-deploy build -t all" in caught.value.hint
    rendered(project(tmp_path, "all"))
    changed = Settings.model_validate({"target": "x", "app": {"compute_size": "LARGE"}}).app
    with pytest.raises(DeployError, match="is not what the settings of target all say now") as caught:
        databricks_yml.read(project(tmp_path, "all", app=changed), ME)
    assert caught.value.code is Code.STAGE_MISSING
    record = {"fingerprint": {"archive": "x"}, "facts": {}}
    atomic.write(tmp_path / "build" / "state" / "build.json", json.dumps(record))
    with pytest.raises(DeployError) as caught:
        databricks_yml.read(project(tmp_path, "all", app=changed), ME)
    assert "--from FILE" in caught.value.hint


def with_template(folder: Path, before: str, after: str) -> Project:
    text = (Path(__file__).parents[2] / "templates" / "bundle" / "databricks.yml").read_text()
    assert before in text
    own = folder / "templates" / "bundle"
    own.mkdir(parents=True)
    (own / "databricks.yml").write_text(text.replace(before, after))
    return rendered(project(folder, "plain", templates=folder / "templates"))


def test_a_users_template_counts(tmp_path: Path) -> None:
    made = with_template(
        tmp_path, "            env:\n", f"            env:\n{' ' * 14}- {{name: MORE, value: '1'}}\n"
    )
    found, stated = (
        databricks_yml.read(made, ME),
        desired.of(made.settings, f"/Workspace/Users/{ME}/.bundle/metamcp/plain"),
    )
    assert found.app.env == (*stated.app.env, EnvVar("MORE", value="1"))
    assert replace(found, app=stated.app) == stated


def test_a_users_template_adds_a_resource_permissions_and_fields(tmp_path: Path) -> None:
    scope = "${resources.secret_scopes.secrets.name}"
    made = with_template(
        tmp_path,
        *("          source_code_path", "          user_api_scopes: [sql]\n          source_code_path"),
    )
    assert databricks_yml.read(made, ME).app.user_api_scopes == ("sql",)
    path = tmp_path / "templates" / "bundle" / "databricks.yml"
    text = path.read_text()
    more = f"{{name: more, secret: {{scope: '{scope}', key: MORE, permission: READ}}}}"
    text = text.replace(
        "{{ t.app | indent(10) }}",
        "{{ t.app | replace('resources:', 'resources:\\n- " + more.replace("'", "\\'") + "') | indent(10) }}",
    )
    text = text.replace("branch_id:", "ttl: 5s\n          branch_id:")
    grant = "permissions: [{level: CAN_USE, user_name: '${workspace.current_user.userName}'}]"
    text = text.replace(
        "{{ t.lakebase.project | indent(10) }}", "{{ t.lakebase.project | indent(10) }}\n          " + grant
    )
    text = text.replace(
        "{{ t.scope | indent(10) }}",
        "{{ t.scope | indent(10) }}\n          " + grant.replace("CAN_USE", "READ"),
    )
    path.write_text(text)
    found = databricks_yml.read(rendered(made), ME)
    assert found.app.resources[-1] == {
        "name": "more",
        "secret": {"scope": "metamcp", "key": "MORE", "permission": "READ"},
    }
    assert found.secrets.keys == {"BETTER_AUTH_SECRET", "MORE"}
    assert found.secrets.permissions == ({"level": "READ", "user_name": ME},)
    assert found.database.permissions == ({"level": "CAN_USE", "user_name": ME},)


def test_a_template_adds_tags_to_those_of_the_settings() -> None:
    stated = databases.of(Settings.model_validate({"target": "x", "database": {"tags": {"team": "ai"}}}))
    more = [{"key": "owner", "value": "platform"}]
    found = stated.extended({"postgres_projects": {"custom_tags": more}})
    assert isinstance(found, databases.Autoscaling)
    assert found.project_spec["custom_tags"] == [{"key": "team", "value": "ai"}, *more]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("      apps:", "      jobs: {one: {name: x}}\n      apps:", "resources.jobs.one"),
        ("          source_code_path", "          space: x\n          source_code_path", "field space"),
        ("started: true", "started: false", "lifecycle.started"),
        (
            "root_path: {{ t.root_path | tojson }}",
            "root_path: /Workspace/Shared/other",
            "workspace.root_path is",
        ),
        ("branch_id: {{ t.lakebase.branch_id | tojson }}", "branch_id: other", "branch_id is other"),
        (
            "postgres_database: {{ t.lakebase.database | tojson }}",
            "postgres_database: x",
            "is x, and the settings",
        ),
        (
            "            env:\n",
            "            env:\n" + " " * 14 + "- {name: TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL, value: x}\n",
            "INTERNAL.value is x",
        ),
        ("resources.postgres_roles.owner.id", "resources.postgres_roles.nobody.id", "postgres_roles.nobody"),
        (
            "{{ t.lakebase.project | indent(10) }}",
            "{{ t.lakebase.project | indent(10) }}\n          custom_tags: [{key: metamcp-deploy, value: x}]",
            "sets the tag metamcp-deploy",
        ),
        (
            "{{ t.app | indent(10) }}",
            "{{ t.app | replace('key: BETTER_AUTH_SECRET', 'key: metamcp-deploy-signing') | indent(10) }}",
            "names the secret metamcp-deploy-signing",
        ),
    ],
)
def test_a_template_that_asks_for_what_cannot_be(tmp_path: Path, before: str, after: str, said: str) -> None:
    with pytest.raises(DeployError) as caught:
        databricks_yml.read(with_template(tmp_path, before, after), ME)
    assert caught.value.code is Code.BUNDLE_INVALID
    assert said in caught.value.message
