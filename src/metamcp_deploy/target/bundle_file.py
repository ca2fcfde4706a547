"""databricks.yml in the bundle, read back: what acts make so in a workspace is what stands there.

It is what `build` rendered from the settings, through the user's template where there is one. What the settings mark as
somebody else's is not in it and comes from the settings: it is only looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import desired, manifests
from metamcp_deploy.target.databases import Database, Instance, Lakebase
from metamcp_deploy.target.desired import App, Desired, EnvVar, Secrets
from metamcp_deploy.target.site import root

_REFERENCE = re.compile(r"\$\{resources\.([a-z_]+)\.([A-Za-z0-9_-]+)\.([a-z_]+)\}")
_ME = "${workspace.current_user.userName}"
# Group → key of the one thing in it that a convergence makes.
_KNOWN = {
    "apps": "metamcp",
    "postgres_projects": "database",
    "postgres_branches": "database",
    "postgres_endpoints": "database",
    "postgres_databases": "database",
    "postgres_roles": "owner",
    "database_instances": "database",
    "secret_scopes": "secrets",
}
_OF_APP = {
    *("name", "description", "compute_size", "user_api_scopes", "resources", "permissions"),
    *("source_code_path", "lifecycle", "config"),
}
_OF_CREATING = ("parent", "endpoint_id", "replace_existing", "lifecycle")


def read(project: Project, me: str) -> Desired:
    """How the target should be, from `build/bundle/databricks.yml`.

    Args:
        project: with the target's settings.
        me: the login's user name, of whom a root may be.

    Raises:
        DeployError: STAGE_MISSING without the file, and where it is not what the settings now render; BUNDLE_INVALID
            where a template asks for what this tool does not make, or names other things than the settings.
    """
    path = project.bundle / manifests.FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _stale(project, f"There is no {path}.") from None
    if text != manifests.databricks_yml(project):
        raise _stale(project, f"{path} is not what the settings of target {project.settings.target} say now.")
    return _of(project, text, me)


def rendered(project: Project, me: str) -> Desired:
    """How the target should be, as `build` would write it now: for plans, which need no bundle.

    Raises:
        DeployError: BUNDLE_INVALID, and those of rendering.
    """
    return _of(project, manifests.databricks_yml(project), me)


def _of(project: Project, text: str, me: str) -> Desired:
    import yaml

    section = yaml.safe_load(text)["targets"][project.settings.target]
    stated = desired.of(project.settings, root(project.settings, me))
    return _File(section, stated, me).desired()


class _File:
    """A target's section of the file.

    Args:
        section: of the file.
        stated: what the settings say.
        me: the login's user name.
    """

    def __init__(self, section: Mapping[str, Any], stated: Desired, me: str) -> None:
        self.stated = stated
        self.groups: dict[str, dict[str, Any]] = dict(section.get("resources") or {})
        self.me = me
        self.root = str(self._resolved(section["workspace"]["root_path"])).rstrip("/")

    def desired(self) -> Desired:
        """All of it.

        Raises:
            DeployError: BUNDLE_INVALID.
        """
        self._check()
        made = Desired(self.stated.target, self.root, self._app(), self._database(), self._secrets())
        for what, ours, theirs in (
            ("workspace.root_path", self.stated.root, made.root),
            ("app.name", self.stated.app.name, made.app.name),
            ("database", _named(self.stated.database), _named(made.database)),
            ("secrets.scope", self.stated.secrets.scope, made.secrets.scope),
        ):
            if ours != theirs:
                raise _invalid(
                    f"{what} is {theirs}, and the settings say {ours}", "State it in metamcp.yaml."
                )
        return made

    def _check(self) -> None:
        for group, things in self.groups.items():
            if extra := sorted(set(things) - {_KNOWN.get(group)}):
                raise _invalid(
                    f"resources.{group}.{extra[0]} is nothing that this tool makes",
                    "Deploy it with a bundle of its own, and the official command line.",
                )
        app = self._one("apps")
        if extra := sorted(set(app) - _OF_APP):
            raise _invalid(f"the app's field {extra[0]} is nothing that this tool sets", "Leave it out.")
        if app and not (app.get("lifecycle") or {}).get("started"):
            raise _invalid(
                "the app's lifecycle.started is not true, and this tool deploys what runs",
                "Leave it as it is, and stop the app with `metamcp-deploy stop`.",
            )

    def _one(self, group: str) -> dict[str, Any]:
        found: dict[str, Any] = self._resolved(self.groups.get(group, {}).get(_KNOWN[group], {}))
        return found

    def _app(self) -> App:
        app = self._one("apps")
        if not app:
            return self.stated.app
        return App(
            name=str(app["name"]),
            managed=True,
            description=str(app.get("description") or ""),
            compute_size=str(app.get("compute_size") or self.stated.app.compute_size),
            resources=tuple(app.get("resources") or ()),
            env=tuple(EnvVar(**e) for e in (app.get("config") or {}).get("env") or ()),
            permissions=tuple(app.get("permissions") or ()),
            user_api_scopes=tuple(app.get("user_api_scopes") or ()),
        )

    def _database(self) -> Database:
        stated = self.stated.database
        if isinstance(stated, Lakebase) and (project := self._one("postgres_projects")):
            database, endpoint = self._one("postgres_databases"), self._one("postgres_endpoints")
            unsaid = {"project_id", "permissions", "lifecycle"}
            return replace(
                stated,
                project=f"projects/{project['project_id']}",
                branch=database["parent"],
                endpoint=f"{endpoint['parent']}/endpoints/{endpoint['endpoint_id']}",
                database=f"{database['parent']}/databases/{database['database_id']}",
                postgres_name=str(database["postgres_database"]),
                project_spec={k: v for k, v in project.items() if k not in unsaid},
                endpoint_spec={
                    k: v for k, v in endpoint.items() if k not in (*_OF_CREATING, "endpoint_type")
                },
                permissions=tuple(project.get("permissions") or ()),
            )
        if isinstance(stated, Instance) and (instance := self._one("database_instances")):
            return replace(
                stated,
                name=str(instance["name"]),
                capacity=str(instance["capacity"]),
                permissions=tuple(instance.get("permissions") or ()),
            )
        return stated

    def _secrets(self) -> Secrets:
        scope = self._one("secret_scopes")
        if not scope:
            return self.stated.secrets
        referred = (r["secret"]["key"] for r in self._app().resources if "secret" in r)
        keys = self.stated.secrets.keys | set(referred)
        permissions = tuple(scope.get("permissions") or ())
        return replace(self.stated.secrets, scope=str(scope["name"]), keys=keys, permissions=permissions)

    def _resolved(self, value: Any) -> Any:
        """The value with what the official command line would put for its references."""
        if isinstance(value, dict):
            return {k: self._resolved(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._resolved(v) for v in value]
        if not isinstance(value, str):
            return value
        text = value.replace(_ME, self.me)
        return _REFERENCE.sub(lambda match: self._referred(*match.groups()), text)

    def _referred(self, group: str, key: str, field: str) -> str:
        thing = self.groups.get(group, {}).get(key)
        if thing is None:
            raise _invalid(
                f"it refers to resources.{group}.{key}, which is not in it", "Correct the template."
            )
        if field != "id":
            return str(self._resolved(thing[field]))
        collection = group.removeprefix("postgres_")
        singular = {"branches": "branch"}.get(collection, collection[:-1])
        parent = f"{self._resolved(thing['parent'])}/" if "parent" in thing else ""
        return f"{parent}{collection}/{thing[f'{singular}_id']}"


def _named(database: Database) -> tuple[str, ...]:
    if isinstance(database, Lakebase):
        return database.endpoint, database.database, database.postgres_name
    return (database.name, database.database) if isinstance(database, Instance) else ()


def _stale(project: Project, what: str) -> DeployError:
    target = project.settings.target
    built = pipeline.recorded(project.state, "build")
    if built and "archive" in built["fingerprint"]:
        hint = f"Give the file that the bundle came from again: metamcp-deploy deploy -t {target} --from FILE"
        return DeployError(Code.STAGE_MISSING, what, hint=hint)
    return DeployError(
        Code.STAGE_MISSING,
        what,
        hint=f"Run `metamcp-deploy build -t {target}` (seconds, when only settings changed), or `metamcp-deploy deploy "
        f"-t {target}`, which does it by itself.",
    )


def _invalid(problem: str, hint: str) -> DeployError:
    return DeployError(
        Code.BUNDLE_INVALID,
        f"templates/{manifests.DATABRICKS_YML} asks for what cannot be: {problem}.",
        hint=hint,
    )
