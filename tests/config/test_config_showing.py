"""`config show --origin`, `config check`, `config schema`, `init`."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from metamcp_deploy import __version__, config, events
from metamcp_deploy.config import layout
from metamcp_deploy.config.model import DEFAULT_REF, DEFAULT_URL
from metamcp_deploy.errors import Code, DeployError
from tests.config.working import TARGETS, Work

OF_INSTANCES = ("database.instance", "database.capacity", "database.usage_policy_id")


def rows(work: Work, **asked: Any) -> dict[str, tuple[str | None, str]]:
    return {r.key: (r.value, r.origin) for r in config.explain(work.folder, **({"environ": {}} | asked))}


def test_each_value_tells_its_origin(two_targets: Work) -> None:
    two_targets.env("\n\nMETAMCP_NETWORK_PROXY=http://me:pw@proxy.example.com\n")
    (two_targets.folder / "patches").mkdir()
    found = rows(
        two_targets,
        environ={"METAMCP_REF": "v2.4.1"},
        sets=["app.compute_size=LARGE", "app.env.API_TOKEN=shown-to-nobody", "app.env.KEY.secret=K"],
        flags={"upstream.url": "https://git.example.com/x.git"},
    )
    assert found["target"] == ("dev", "metamcp.yaml:14 default_target")
    assert found["app.name"] == ("metamcp-dev", "metamcp.yaml:6 targets.dev.app.name")
    assert found["upstream.ref"] == ("v2.4.1", "environment METAMCP_REF")
    assert found["upstream.url"] == ("https://git.example.com/x.git", "flag --url")
    assert found["app.compute_size"] == ("LARGE", "flag --set")
    assert found["app.env.API_TOKEN"] == ("********", "flag --set")
    assert found["app.env.KEY"] == ("secret K", "flag --set")
    assert found["network.proxy"] == ("http://***@proxy.example.com", ".env:3 METAMCP_NETWORK_PROXY")
    assert found["database.schema"] == ("metamcp_app", "default")
    assert found["secrets.scope"] == ("metamcp-dev", "default: app.name")
    assert found["patches"] == (
        str(two_targets.folder / "patches"),
        "default: the folder beside metamcp.yaml",
    )
    assert found["workspace.root_path"] == (None, "default")
    of_kinds = {*OF_INSTANCES, "database.url.secret"}
    # Shown as database.password and database.principal.
    held = {
        "database.password.secret",
        "database.principal.client_id",
        "database.principal.client_secret.secret",
    }
    assert set(found) >= set(layout.settable()) - {"app.env", "database.tags"} - of_kinds - held
    assert not set(found) & of_kinds


def test_who_chose_the_target(two_targets: Work) -> None:
    assert rows(two_targets, target="prod")["target"] == ("prod", "flag -t")
    chosen = rows(two_targets, environ={"DATABRICKS_BUNDLE_TARGET": "prod"})["target"]
    assert chosen == ("prod", "environment DATABRICKS_BUNDLE_TARGET")
    assert rows(two_targets.env("TARGET=prod\n"))["target"] == ("prod", ".env:1 TARGET")
    assert rows(two_targets, app="x-1")["target"] == ("default", "flag --app")


def test_check_lists_problems_of_all_targets_and_of_dotenv(work: Work) -> None:
    work.yaml("app: {name: x1}\n")
    assert config.check(work.folder) == []
    work.yaml("app: {nme: x}\ntargets: {dev: {app: {name: X}}}\n").env("APP_NAME=${X}\n")
    assert len(config.check(work.folder, environ={})) == 3


def test_check_of_a_target_counts_the_environment(two_targets: Work) -> None:
    stray = {"APP_NAME": "metamcp-dev"}
    assert config.check(two_targets.folder, environ=stray) == []
    assert config.check(two_targets.folder, target="dev", environ=stray) == []
    found = config.check(two_targets.folder, target="prod", environ=stray)
    assert [p.as_dict()["key"] for p in found] == ["app.name"]
    with pytest.raises(DeployError) as caught:
        config.check(two_targets.folder, target="nowhere", environ={})
    assert caught.value.code is Code.TARGET_UNKNOWN


def test_check_warns_of_a_protected_target_without_a_lock(work: Work) -> None:
    work.yaml(
        "app: {sign_up: users}\ntargets: {prod: {protected: true, workspace: {root_path: /Workspace/Shared/m}}}"
    )
    told: list[events.Event] = []
    with events.listening(told.append):
        assert config.check(work.folder) == []
    assert ["upstream.commit is not set" in str(e) for e in told] == [True]


def whole_example(folder: Path) -> str:
    """What `init` writes with every commented-out key in force (`#key:`, and its deeper lines)."""
    text = (folder / "metamcp.yaml").read_text()
    return re.sub(r"(?m)^( *)#(?=\S|  )", r"\1", text)


def test_init_writes_what_works_at_once(folder: Path) -> None:
    assert config.init(folder) == [folder / "metamcp.yaml", folder / ".env.template"]
    (folder / ".env").write_text((folder / ".env.template").read_text())
    assert config.check(folder, target="local", environ={}) == []
    settings = config.load(folder, environ={}).settings
    assert (settings.target, settings.embedded) == ("local", True)
    assert (settings.upstream.ref, settings.upstream.url) == (DEFAULT_REF, DEFAULT_URL)
    assert __version__.startswith("0.1.")  # `requires` in the example moves with it


def test_init_replaces_nothing_unless_told(folder: Path) -> None:
    (folder / ".env.template").write_text("mine\n")
    with pytest.raises(DeployError, match=r"\.env\.template is already there") as caught:
        config.init(folder)
    assert caught.value.code is Code.CONFIG_EXISTS
    assert not (folder / "metamcp.yaml").exists()
    config.init(folder, force=True)
    assert (folder / ".env.template").read_text() != "mine\n"
    assert sorted(p.name for p in folder.iterdir()) == [".env.template", "metamcp.yaml"]
    config.init(folder / "new" / "one")


def test_the_whole_example_is_valid_and_documents_every_key(folder: Path) -> None:
    config.init(folder)
    text = whole_example(folder)
    (folder / "metamcp.yaml").write_text(text)
    for name in ("overrides", "patches", "templates"):
        (folder / name).mkdir()
    assert config.check(folder) == []
    assert config.load(folder, target="prod", environ={}).settings.protected
    document = yaml.safe_load(text)
    Draft202012Validator(config.schema()).validate(document)
    missing = [k for k in documented() if k not in text_keys(document)]
    targets = {k for section in document["targets"].values() for k in text_keys(section)}
    missing += [
        k for k in ("embedded", "protected", "workspace.host", "workspace.profile") if k not in targets
    ]
    # Shown where their kind is.
    of_kinds = {*OF_INSTANCES, "database.url.secret", "database.password.secret"}
    assert of_kinds <= targets
    assert set(missing) == of_kinds
    assert set(layout.target().model_fields) - {"embedded", "protected"} <= set(layout.file().model_fields)


def documented(path: tuple[str, ...] = ()) -> list[str]:
    """Dotted keys of a file that the example must show; what belongs to a workspace is shown in targets."""
    keys: list[str] = []
    for key in layout.keys_at(layout.file(), path):
        inner = documented((*path, key))
        if key != "workspace":
            keys += inner or [".".join((*path, key))]
    return keys


def text_keys(value: Any, prefix: str = "") -> set[str]:
    keys = set()
    if isinstance(value, dict):
        for key, item in value.items():
            keys |= {prefix + key} | text_keys(item, f"{prefix}{key}.")
    return keys


def test_the_dotenv_template_names_every_variable_of_old(folder: Path) -> None:
    from metamcp_deploy.config import sources

    config.init(folder)
    text = (folder / ".env.template").read_text()
    wanted = {*layout.known_variables(), sources.AUTH_SECRET, "TARGET"} - {"DATABRICKS_HOST"}
    assert {n for n in wanted if not re.search(rf"(?m)^{n}=$", text)} == set()


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (TARGETS, True),
        ("app:\ntargets: {dev: }", True),
        ("app: {env: , permissions: }\ntargets:\n", True),
        ("app: {env: {PORT_A: 1, DEBUG: true, S: {secret: K}}}", True),
        ("app: {nme: x}", False),
        ("app: {permissions: [{level: CAN_USE, user_name: a, group_name: b}]}", False),
        ("app: {env: {A: {secrt: K}}}", False),
        ("targets: {dev: {upstream: {ref: main}}}", False),
        ("targets: {dev: {database: {schema: x}}}", False),
        ("app: {env: {9A: x}}", False),
        ("targets: {a/b: }", False),
        ("version: 2", False),
    ],
)
def test_the_schema_agrees_with_the_tool(work: Work, text: str, valid: bool) -> None:
    schema = config.schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert Draft202012Validator(schema).is_valid(yaml.safe_load(text)) is valid
    assert (config.check(work.yaml(text).folder) == []) is valid
    json.dumps(schema)


def test_the_package_alone_loads_neither_pydantic_nor_a_parser(work: Work) -> None:
    code = (
        "import sys; from metamcp_deploy import config; heavy = {'pydantic', 'yaml', 'dotenv', 'packaging'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "config.target_names(__import__('pathlib').Path('.')); assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=work.folder)


def test_a_deployment_that_nobody_could_use_is_told(folder: Path) -> None:
    text = "targets: {dev: {app: {name: one}}, other: {app: {name: two, sign_up: users}}, local: {embedded: true}}\n"
    (folder / "metamcp.yaml").write_text(f"version: 1\n{text}")
    seen: list[events.Event] = []
    with events.listening(seen.append):
        assert config.check(folder) == []
        (folder / "metamcp.yaml").write_text(f"version: 1\napp: {{operators: [Me@Example.com]}}\n{text}")
        assert config.check(folder) == []
    warned = [e for e in seen if isinstance(e, events.Warned)]
    assert [w.text for w in warned if "target `dev`" in w.text and "app.operators is empty" in w.text]
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        ("{child_env: [TOKEN]}", "child_env names `TOKEN`, which app.env does not set"),
        ("{operators: [me]}", "expected an e-mail address"),
        ("{sign_up: everybody}", "closed, operators, users or open"),
        ("{env: {METAMCP_SIGN_UP: open}}", "app.sign_up sets it"),
    ],
)
def test_who_may_do_what_is_checked(folder: Path, app: str, problem: str) -> None:
    (folder / "metamcp.yaml").write_text(f"version: 1\napp: {app}\n")
    assert problem in "\n".join(map(str, config.check(folder)))
