"""What a target should look like in its workspace, computed from settings alone.

`build` renders it into databricks.yml, from where `bundle_file` reads it back: what acts make so is what stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from metamcp_deploy.config import model
from metamcp_deploy.config.model import Settings
from metamcp_deploy.stages.environment import (
    AUTH_RESOURCE,
    AUTH_SECRET,
    DATABASE_RESOURCE,
    LOCAL_OPERATOR,
    EnvVar,
    environment,
    secret_resource,
)

__all__ = ["AUTH_SECRET", "LOCAL_OPERATOR", "EnvVar", "environment", "secret_resource"]
MARK = "metamcp-deploy"  # in the description of an app that this tool makes
OWNER_ROLE = "metamcp-owner"  # of a Lakebase branch: owns databases, and nobody logs in as it


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
    """

    name: str
    managed: bool
    description: str
    compute_size: str
    resources: tuple[dict[str, Any], ...]
    env: tuple[EnvVar, ...]
    permissions: tuple[dict[str, str], ...] = ()
    user_api_scopes: tuple[str, ...] = ()

    def environment(self, url: str) -> list[dict[str, str]]:
        """The complete environment of a deployment, as the deploy call wants it."""
        return [EnvVar("APP_URL", value=url).as_dict(), *(variable.as_dict() for variable in self.env)]


@dataclass(frozen=True)
class Lakebase:
    """A database of Lakebase autoscaling; names are whole (`projects/P/branches/B`).

    The database's id cannot hold an underscore (ids are DNS names), its Postgres name can.

    Attributes:
        postgres_name: what Postgres calls the database.
        project_spec: of a project that is made.
        endpoint_spec: fields of the endpoint that the settings state.
        held: fields of the project that the settings state: changed where they differ, on a project that is there, too.
        permissions: grants on the project.
        principal: client id of a service principal that logs in in place of the app's own.
    """

    kind: ClassVar[str] = "autoscaling"
    managed: bool
    project: str
    branch: str
    endpoint: str
    database: str
    postgres_name: str
    project_spec: Mapping[str, Any] = field(default_factory=dict)
    endpoint_spec: Mapping[str, Any] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    permissions: tuple[dict[str, str], ...] = ()
    principal: str | None = None

    @property
    def database_id(self) -> str:
        """The last part of `database`."""
        return self.database.rsplit("/", 1)[1]

    @property
    def role(self) -> tuple[str, dict[str, str]] | None:
        """Id and spec of the role that `principal` logs in with; None where the app's own does.

        An id begins with a letter, which a client id need not.
        """
        if self.principal is None:
            return None
        login = {"identity_type": "SERVICE_PRINCIPAL", "auth_method": "LAKEBASE_OAUTH_V1"}
        return f"sp-{self.principal.lower()}"[:63], {"postgres_role": self.principal, **login}


@dataclass(frozen=True)
class Instance:
    """A database of a provisioned Lakebase instance.

    Attributes:
        name: of the instance.
        database: what Postgres calls it.
        capacity: of an instance that is made.
        held: whether the settings state the capacity: changed where it differs, on an instance that is there, too.
        permissions: grants on the instance.
    """

    kind: ClassVar[str] = "provisioned"
    managed: bool
    name: str
    database: str
    capacity: str
    held: bool = False
    permissions: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class External:
    """Any other Postgres: nothing of it is in the workspace but the secret with its URL."""

    kind: ClassVar[str] = "external"
    managed: bool = False
    permissions: tuple[dict[str, str], ...] = ()


Database = Lakebase | Instance | External


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


@dataclass(frozen=True)
class Desired:
    """How a target should be in its workspace; `root` is the folder of its releases, records and state."""

    target: str
    root: str
    app: App
    database: Database
    secrets: Secrets


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
            permissions=grants(app.permissions),
            user_api_scopes=app.user_api_scopes,
        ),
        database=database(settings),
        secrets=Secrets(
            scope=settings.secret_scope,
            managed=settings.secrets.managed,
            keys=frozenset({settings.secrets.better_auth_secret, *settings.secret_keys}),
            permissions=grants(settings.secrets.permissions),
        ),
    )


def database(settings: Settings) -> Database:
    """The database that the settings want."""
    d = settings.database
    if d.kind == "autoscaling":
        return lakebase(settings)
    if d.kind == "provisioned":
        return Instance(
            managed=d.managed,
            name=settings.instance_name,
            database=settings.database_name,
            capacity=d.capacity or model.NEW_CAPACITY,
            held=d.capacity is not None,
            permissions=grants(d.permissions),
        )
    return External()


def lakebase(settings: Settings) -> Lakebase:
    """The target's database, were it of Lakebase autoscaling."""
    d = settings.database
    project = f"projects/{settings.project_id}"
    branch = f"{project}/branches/{d.branch}"
    days = d.history_days or model.NEW_HISTORY_DAYS
    return Lakebase(
        managed=d.managed,
        project=project,
        branch=branch,
        endpoint=f"{branch}/endpoints/{d.endpoint}",
        database=f"{branch}/databases/{settings.database_name.replace('_', '-')}",
        postgres_name=settings.database_name,
        project_spec={
            "display_name": settings.project_id,
            "history_retention_duration": f"{days * 86_400}s",
            "default_endpoint_settings": {
                "autoscaling_limit_min_cu": d.min_cu or model.NEW_MIN_CU,
                "autoscaling_limit_max_cu": d.max_cu or model.NEW_MAX_CU,
                **_suspension(d.suspend_after or model.NEW_SUSPEND_AFTER),
            },
        },
        endpoint_spec={
            **({"autoscaling_limit_min_cu": d.min_cu} if d.min_cu else {}),
            **({"autoscaling_limit_max_cu": d.max_cu} if d.max_cu else {}),
            **(_suspension(d.suspend_after) if d.suspend_after else {}),
        },
        held=frozenset({"history_retention_duration"} if d.history_days else ()),
        permissions=grants(d.permissions),
        principal=d.principal.client_id if d.principal else None,
    )


def grants(permissions: Iterable[model.Permission]) -> tuple[dict[str, str], ...]:
    """Permissions as databricks.yml spells them."""
    return tuple(p.model_dump(exclude_none=True) for p in permissions)


def _suspension(after: int | str) -> dict[str, Any]:
    if after == "never":
        return {"no_suspension": True}
    return {"suspend_timeout_duration": f"{after}s"}


def app_resources(settings: Settings) -> list[dict[str, Any]]:
    """The app's resources as the Apps API and databricks.yml spell them, with literal names.

    `config` has made sure that `app.env` takes no name of ours and that no two keys share a resource.
    """
    return [
        *_database(settings),
        _secret(AUTH_RESOURCE, settings.secret_scope, settings.secrets.better_auth_secret),
        *(_secret(secret_resource(key), settings.secret_scope, key) for key in sorted(settings.secret_keys)),
    ]


def _database(settings: Settings) -> list[dict[str, Any]]:
    permission = {"permission": "CAN_CONNECT_AND_CREATE"}
    if settings.database.kind == "autoscaling":
        paths = lakebase(settings)
        postgres = {"branch": paths.branch, "database": paths.database, **permission}
        return [{"name": DATABASE_RESOURCE, "postgres": postgres}]
    if settings.database.kind == "provisioned":
        instance = {"instance_name": settings.instance_name, "database_name": settings.database_name}
        return [{"name": DATABASE_RESOURCE, "database": {**instance, **permission}}]
    return []


def _secret(name: str, scope: str, key: str) -> dict[str, Any]:
    return {"name": name, "secret": {"scope": scope, "key": key, "permission": "READ"}}
