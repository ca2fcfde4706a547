"""app.yaml and databricks.yml: rendered from templates, and checked before anything relies on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from metamcp_deploy import resources
from metamcp_deploy.config.model import NEW_CAPACITY, Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.stages import desired

APP_YAML = "bundle/app/app.yaml"
DATABRICKS_YML = "bundle/databricks.yml"

# What the official command line resolves itself in databricks.yml. app.yaml is never interpolated by anybody.
_REFERENCE = re.compile(r"^\$\{(var|resources|workspace|bundle)\.[A-Za-z0-9_.-]+\}$")
_PLACEHOLDER = re.compile(r"\$\{[^}\n]*\}?|\{\{.*|\{%.*")


def app_yaml(project: Project) -> str:
    """The text of app.yaml, the same for every target.

    Raises:
        DeployError: TEMPLATE_INVALID, or BUNDLE_INVALID naming what is wrong in it.
    """
    text = resources.render(APP_YAML, {}, project.settings.templates)
    document = _parsed(APP_YAML, text)
    for where, value in _strings(document):
        if found := _PLACEHOLDER.search(value):
            raise _invalid(
                APP_YAML, f"{where} holds the placeholder {found.group()!r}, which nobody fills in"
            )
    command = document.get("command")
    if not (isinstance(command, list) and command and all(isinstance(w, str) for w in command)):
        raise _invalid(APP_YAML, f"`command` is {command!r}; expected a list of words")
    if extra := sorted(set(document) - {"command", "env"}):
        raise _invalid(APP_YAML, f"`{extra[0]}` is no key of app.yaml; expected `command` and `env`")
    for variable in document.get("env") or []:
        if not isinstance(variable, dict) or set(variable) not in ({"name", "value"}, {"name", "valueFrom"}):
            raise _invalid(APP_YAML, f"env entry {variable!r}; expected `name` with `value` or `valueFrom`")
        if not all(isinstance(v, str) for v in variable.values()):
            raise _invalid(APP_YAML, f"env entry {variable!r} holds something else than texts; quote it")
    return text


def databricks_yml(project: Project) -> str:
    """The text of databricks.yml, with every target of the configuration that is a real workspace.

    Embedded targets are left out: the official command line would deploy them to whatever workspace the caller's
    login happens to name.

    Raises:
        DeployError: TEMPLATE_INVALID, BUNDLE_INVALID, or CONFIG_INVALID for values that cannot be rendered.
    """
    targets = [s for s in project.all_targets or (project.settings,) if not s.embedded]
    for settings in targets:
        _check_values(settings)
    values = {"targets": [_values(s) for s in targets]}
    text = resources.render(DATABRICKS_YML, values, project.settings.templates)
    document = _parsed(DATABRICKS_YML, text)
    for where, value in _strings(document):
        for found in _PLACEHOLDER.findall(value):
            if not _REFERENCE.match(found):
                raise _invalid(
                    DATABRICKS_YML, f"{where} holds the placeholder {found!r}, which nobody fills in"
                )
    rendered, wanted = set(document.get("targets") or {}), {s.target for s in targets}
    if rendered != wanted:
        raise _invalid(DATABRICKS_YML, f"it holds the targets {sorted(rendered)}; expected {sorted(wanted)}")
    return text


def _values(settings: Settings) -> dict[str, Any]:
    return {
        "name": settings.target,
        "host": settings.workspace.host,
        "root_path": settings.workspace.root_path
        or "/Workspace/Users/${workspace.current_user.userName}/.bundle/"
        + f"{settings.app.name}/{settings.target}",
        "protected": settings.protected,
        "kind": settings.database.kind,
        "project": settings.project_id,
        "branch": settings.database.branch,
        "database": settings.database_name,
        "database_id": desired.lakebase(settings).database_id,
        "instance": settings.instance_name,
        "capacity": settings.database.capacity or NEW_CAPACITY,
        "app": settings.app.name,
        "description": "MetaMCP, deployed by metamcp-deploy",
        "compute_size": settings.app.compute_size,
        "permissions": _block([p.model_dump(exclude_none=True) for p in settings.app.permissions]),
        "resources": _block([_resource(r) for r in desired.app_resources(settings)]),
        "env": _block([v.as_dict() for v in desired.environment(settings, None)]),
    }


def _block(value: list[Any]) -> str:
    """A list as lines of YAML, for the template to indent."""
    import yaml

    return yaml.safe_dump(value, sort_keys=False, width=1000).strip() if value else ""


def _resource(resource: dict[str, Any]) -> dict[str, Any]:
    """References instead of literal names where the bundle makes the thing itself: only they order the deployment."""
    if "database" in resource:
        instance = {"instance_name": "${resources.database_instances.database.name}"}
        return {**resource, "database": {**resource["database"], **instance}}
    if "postgres" not in resource:
        return resource
    return {
        **resource,
        "postgres": {
            **resource["postgres"],
            "branch": "${resources.postgres_branches.database.id}",
            "database": "${resources.postgres_databases.database.id}",
        },
    }


def _check_values(settings: Settings) -> None:
    for variable in desired.environment(settings, None):
        if variable.value is not None and (found := _PLACEHOLDER.search(variable.value)):
            raise DeployError(
                Code.CONFIG_INVALID,
                f"app.env.{variable.name} of target {settings.target} holds {found.group()!r}; "
                "the platform does not expand it, the app would see that literal text.",
                hint=f"Write the value itself, or `{{secret: KEY}}` for a secret, in app.env.{variable.name}.",
            )


def check_secrets(project: Project, files: Mapping[str, bytes]) -> None:
    """Refuses a file that holds the value of a secret this run knows.

    Raises:
        DeployError: BUNDLE_INVALID, naming file and secret, not the value.
    """
    known = {n: s.reveal().encode() for n, s in project.secrets.items() if len(s.reveal()) >= 8}
    for path, content in files.items():
        for name, value in known.items():
            if value in content:
                raise DeployError(
                    Code.BUNDLE_INVALID,
                    f"{path} would hold the value of {name}; a bundle never carries secrets.",
                    hint=f"Find where {name} gets in (overrides, templates, app.env), and use a secret reference.",
                )


def _parsed(name: str, text: str) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise _invalid(name, f"it is no valid YAML: {e}") from e
    if not isinstance(document, dict):
        raise _invalid(name, "it is no mapping")
    return document


def _strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a document with its path, keys included."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            at = f"{where}.{key}" if where else str(key)
            yield at, str(key)
            yield from _strings(item, at)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _strings(item, f"{where}[{i}]")


def _invalid(name: str, problem: str) -> DeployError:
    return DeployError(
        Code.BUNDLE_INVALID,
        f"templates/{name} does not render to a valid file: {problem}.",
        hint=f"Correct {name} in your templates folder, or remove it to use the package's own.",
    )
