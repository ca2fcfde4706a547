"""How a target should be in its workspace, computed from settings alone.

`databricks_yml` renders it, and adds what a user's template adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metamcp_deploy.config.app import App as AppSettings
from metamcp_deploy.config.model import Settings
from metamcp_deploy.target import databases
from metamcp_deploy.target.access_lists import AccessList, ScopeAccessList, spelled
from metamcp_deploy.target.databases import Database
from metamcp_deploy.target.environment import environment
from metamcp_deploy.target.variables import AUTH_RESOURCE, DATABASE_RESOURCE, EnvVar, secret_resource

MARK = "metamcp-deploy"  # in the description of an app that this tool makes


@dataclass(frozen=True)
class App:
    """The app.

    Attributes:
        name: of the app.
        managed: False when somebody else makes and changes it.
        description: what the workspace shows.
        compute_size: MEDIUM, ...
        resources: as the Apps API spells them, with literal names.
        env: the environment that deployments send, without APP_URL.
        permissions: grants as databricks.yml spells them: `level` and one principal.
        user_api_scopes: of user authorization.
        enforced: further fields that the settings state, as the Apps API spells them; `space` counts at creation only.
    """

    name: str
    managed: bool
    description: str
    compute_size: str
    resources: tuple[dict[str, Any], ...]
    env: tuple[EnvVar, ...]
    permissions: tuple[dict[str, str], ...] = ()
    user_api_scopes: tuple[str, ...] = ()
    enforced: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holder(self) -> str:
        """Its name in the ledger, as of a database."""
        return self.name

    @property
    def access_list(self) -> AccessList:
        """Of the app."""
        return AccessList("apps", "app", self.name, self.managed, self.permissions)

    def environment(self, url: str) -> list[dict[str, str]]:
        """The complete environment of a deployment, as the deploy call wants it."""
        return [EnvVar("APP_URL", value=url).as_dict(), *(variable.as_dict() for variable in self.env)]


@dataclass(frozen=True)
class Secrets:
    """The secret scope.

    Attributes:
        scope: its name.
        managed: False when somebody else makes it and writes its secrets.
        keys: all that the app's resources refer to.
        permissions: grants on the scope.
    """

    scope: str
    managed: bool
    keys: frozenset[str]
    permissions: tuple[dict[str, str], ...] = ()

    @property
    def holder(self) -> str:
        """The scope's name in the ledger, as of a database."""
        return self.scope

    @property
    def access_list(self) -> AccessList:
        """Of the scope."""
        return ScopeAccessList("scope", "secret scope", self.scope, self.managed, self.permissions)


@dataclass(frozen=True)
class Desired:
    """How a target should be in its workspace; `root` is the folder of its releases, records and state."""

    target: str
    root: str
    app: App
    database: Database
    secrets: Secrets

    @property
    def access_lists(self) -> list[AccessList]:
        """Of all things that have one."""
        lists = (self.app.access_list, self.secrets.access_list, self.database.access_list)
        return [one for one in lists if one is not None]


def of(settings: Settings, root: str) -> Desired:
    """How the settings want their target."""
    app = settings.app
    return Desired(
        target=settings.target,
        root=root,
        app=App(
            name=app.name,
            managed=app.managed,
            description=app.description or f"MetaMCP, deployed by {MARK} (target {settings.target})",
            compute_size=app.compute_size,
            resources=tuple(app_resources(settings)),
            env=tuple(environment(settings, None)),
            permissions=spelled(app.permissions),
            user_api_scopes=app.user_api_scopes,
            enforced=_enforced(app),
        ),
        database=databases.of(settings),
        secrets=Secrets(
            scope=settings.secret_scope,
            managed=settings.secrets.managed,
            keys=frozenset({settings.secrets.better_auth_secret, *settings.secret_keys}),
            permissions=spelled(settings.secrets.permissions),
        ),
    )


def _enforced(app: AppSettings) -> dict[str, Any]:
    """Fields of the app that are sent only where they are stated."""
    stated = app.model_dump(include={"budget_policy_id", "usage_policy_id", "space"}, exclude_none=True)
    if app.telemetry_export_destinations:
        stated["telemetry_export_destinations"] = [d.model_dump() for d in app.telemetry_export_destinations]
    return stated


def app_resources(settings: Settings) -> list[dict[str, Any]]:
    """The app's resources as the Apps API and databricks.yml spell them, with literal names.

    `config` checks that `app.env` takes no name of ours and that no two keys share a resource.
    """
    attachment = databases.of(settings).attachment
    return [
        *([{"name": DATABASE_RESOURCE, **attachment}] if attachment else []),
        _secret(AUTH_RESOURCE, settings.secret_scope, settings.secrets.better_auth_secret),
        *(_secret(secret_resource(key), settings.secret_scope, key) for key in sorted(settings.secret_keys)),
    ]


def _secret(name: str, scope: str, key: str) -> dict[str, Any]:
    return {"name": name, "secret": {"scope": scope, "key": key, "permission": "READ"}}
