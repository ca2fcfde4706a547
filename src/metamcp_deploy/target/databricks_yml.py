"""app.yaml and databricks.yml: rendered from templates, and checked before anything relies on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from metamcp_deploy import resources
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import databases, desired
from metamcp_deploy.target.databases import Instance, Lakebase

APP_YAML = "bundle/app/app.yaml"
DATABRICKS_YML = "bundle/databricks.yml"
FILE = "databricks.yml"  # in the bundle

# What the official command line resolves itself in databricks.yml. app.yaml is never interpolated by anybody.
_REFERENCE = re.compile(r"^\$\{(var|resources|workspace|bundle)\.[A-Za-z0-9_.-]+\}$")
USER_ROOT = "/Workspace/Users/${workspace.current_user.userName}"
NO_HOST = "https://embedded.invalid"
ENDPOINT_TYPE = "ENDPOINT_TYPE_READ_WRITE"
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
    """The text of databricks.yml, with every target of the configuration.

    An embedded target has a host that no login can be for (RFC 6761): the official command line would otherwise deploy
    it to whatever workspace the caller's login happens to name.

    Raises:
        DeployError: TEMPLATE_INVALID, BUNDLE_INVALID, or CONFIG_INVALID for values that cannot be rendered.
    """
    targets = project.all_targets or (project.settings,)
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
    root = settings.workspace.root_path or f"{USER_ROOT}/.bundle/{settings.app.name}/{settings.target}"
    wanted = desired.of(settings, root)
    database, scope = wanted.database, wanted.secrets
    return {
        "name": settings.target,
        "host": NO_HOST if settings.embedded else settings.workspace.host,
        "root_path": root,
        "protected": settings.protected,
        "resources": wanted.app.managed or scope.managed or database.managed,
        "lakebase": _lakebase(database) if isinstance(database, Lakebase) and database.managed else None,
        "instance": _instance(database) if isinstance(database, Instance) and database.managed else None,
        "scope": _block({"name": scope.scope, **_granted(scope.permissions)}) if scope.managed else None,
        "app": _app(wanted) if wanted.app.managed else None,
        "env": _block([v.as_dict() for v in wanted.app.env]),
    }


def _lakebase(database: Lakebase) -> dict[str, Any]:
    return {
        "project_id": database.project.rsplit("/", 1)[1],
        "project": _block({**database.project_spec, **_granted(database.permissions)}),
        "branch_id": database.branch.rsplit("/", 1)[1],
        "endpoint_id": database.endpoint.rsplit("/", 1)[1],
        "endpoint": _block({"endpoint_type": ENDPOINT_TYPE, **database.endpoint_spec}),
        "role": _block(_role(database)),
        "database_id": database.database_id,
        "database": database.postgres_name,
    }


def _role(database: Lakebase) -> dict[str, str]:
    """The role that owns the database: the one that logs in where the settings name it, else one that never does."""
    if database.role is None:
        return {"role_id": databases.OWNER_ROLE, "postgres_role": databases.OWNER_ROLE.replace("-", "_")}
    role_id, spec = database.role
    return {"role_id": role_id, **spec}


def _instance(database: Instance) -> str:
    named = {"name": database.name, "capacity": database.capacity}
    return _block({**named, **_granted(database.permissions)})


def _app(wanted: desired.Desired) -> str:
    app = wanted.app
    return _block(
        {
            "name": app.name,
            "description": app.description,
            "compute_size": app.compute_size,
            **({"user_api_scopes": list(app.user_api_scopes)} if app.user_api_scopes else {}),
            "resources": [_resource(r, wanted) for r in app.resources],
            **_granted(app.permissions),
        }
    )


def _granted(permissions: tuple[dict[str, str], ...]) -> dict[str, Any]:
    return {"permissions": list(permissions)} if permissions else {}


def _block(value: list[Any] | dict[str, Any]) -> str:
    """A value as lines of YAML, for the template to indent."""
    import yaml

    return yaml.safe_dump(value, sort_keys=False, width=1000, allow_unicode=True).strip() if value else ""


def _resource(resource: dict[str, Any], wanted: desired.Desired) -> dict[str, Any]:
    """References instead of literal names where the bundle makes the thing itself: only they order the deployment."""
    if "database" in resource and wanted.database.managed:
        referred = {"instance_name": "${resources.database_instances.database.name}"}
        return {**resource, "database": {**resource["database"], **referred}}
    if "postgres" in resource and wanted.database.managed:
        referred = {
            "branch": "${resources.postgres_branches.database.id}",
            "database": "${resources.postgres_databases.database.id}",
        }
        return {**resource, "postgres": {**resource["postgres"], **referred}}
    if "secret" in resource and wanted.secrets.managed:
        referred = {"scope": "${resources.secret_scopes.secrets.name}"}
        return {**resource, "secret": {**resource["secret"], **referred}}
    return resource


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
