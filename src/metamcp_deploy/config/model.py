"""The settings of one target, as frozen models. A key is here only when something obeys it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from metamcp_deploy.config.kinds import (
    AppName,
    AsWritten,
    ChildName,
    ClientId,
    Commit,
    ComputeUnits,
    DatabaseName,
    Email,
    EnvName,
    Expected,
    File,
    Flag,
    Folder,
    Host,
    Identifier,
    KeptReleases,
    LakebaseId,
    Line,
    RetentionDays,
    RootPath,
    Seconds,
    SecretKey,
    Section,
    Suspension,
    Text,
    UserScope,
)

DEFAULT_URL = "https://github.com/metatool-ai/metamcp.git"
DEFAULT_REF = "v2.4.22"
PRINCIPALS = ("user_name", "group_name", "service_principal_name")


class Model(BaseModel):
    """Frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


class Upstream(Model):
    """Which MetaMCP: `commit`, when given, is a lock that `ref` must resolve to."""

    url: Line = Field(default=DEFAULT_URL, description="https, ssh or file URL, or a path")
    ref: Line = Field(default=DEFAULT_REF, description="tag, branch or full commit")
    commit: Commit | None = Field(default=None, description="the commit that ref must resolve to")


class Build(Model):
    """What a release holds beyond what it needs to serve."""

    source_maps: Flag = Field(
        default=False, description="stack traces in the app's log name MetaMCP's own files and lines"
    )


def _one_principal(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": [name]} for name in PRINCIPALS]


class Permission(Model):
    """One grant on the app, to exactly one of a user, a group or a service principal."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_one_principal)

    level: Literal["CAN_USE", "CAN_MANAGE"]
    user_name: Line | None = None
    group_name: Line | None = None
    service_principal_name: Line | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in PRINCIPALS if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"found {' and '.join(given) or 'none'}, expected exactly one of {', '.join(PRINCIPALS)}"
            )
        return self


class ScopePermission(Permission):
    """One grant on the secret scope, to exactly one of a user, a group or a service principal."""

    level: Literal["READ", "WRITE", "MANAGE"]  # type: ignore[assignment]


class SecretReference(Model):
    """An environment value that is a key of the target's secret scope."""

    secret: SecretKey


# Only a reference: an error never repeats what stands there, which may be the secret itself.
HeldSecret = Annotated[SecretReference, Expected("{secret: KEY}, the key of a secret in the scope")]
EnvValue = Annotated[Text | SecretReference, Expected("a text on one line, or {secret: KEY}"), AsWritten]


class App(Model):
    """The Databricks App."""

    name: AppName = Field(
        default="metamcp", description="unique in its workspace; mcp- in front lists it in AI Playground"
    )
    managed: Flag = Field(
        default=True, description="false: somebody else makes, changes and deletes the app; only deployed to"
    )
    description: Line | None = Field(default=None, description="what the workspace shows of the app")
    compute_size: Literal["MEDIUM", "LARGE", "XLARGE"] = Field(
        default="MEDIUM", description="size of the app's container"
    )
    user_api_scopes: Annotated[tuple[UserScope, ...], Section(tuple)] = Field(
        default=(), description="what the app may do in its user's name (user authorization), such as sql"
    )
    permissions: Annotated[tuple[Permission, ...], Section(tuple)] = Field(
        default=(), description="who may use or manage the app, besides its owner"
    )
    env: Annotated[dict[EnvName, EnvValue], Section()] = Field(
        default_factory=dict,
        description="variables of the services: a text, or {secret: key of the scope}",
    )
    contact: Line | None = Field(
        default=None, description="whom the app's failure page tells everybody else to turn to"
    )
    child_env: Annotated[tuple[ChildName, ...], Section(tuple)] = Field(
        default=(),
        description="names in app.env that the settings of MCP servers may use as ${NAME}; no others resolve",
    )
    operators: Annotated[tuple[Email, ...], Section(tuple)] = Field(
        default=(), description="e-mail addresses of those who operate the app"
    )
    sign_up: Literal["closed", "operators", "users", "open"] | None = Field(
        default=None,
        description="who may make an account with a password, for their own address; default: operators, "
        "in an embedded workspace users",
    )
    inspector: Literal["closed", "operators", "open"] = Field(
        default="closed",
        description="who may start commands from the UI's inspector (remote servers can always be inspected)",
    )
    allow_instances: Flag = Field(
        default=False, description="accept an app scaled to several instances, each with sessions of its own"
    )

    @model_validator(mode="after")
    def _child_env_is_there(self) -> Self:
        for name in self.child_env:
            if name not in self.env:
                raise ValueError(f"child_env names `{name}`, which app.env does not set")
        return self


class DatabasePrincipal(Model):
    """A service principal that logs in to the database in place of the app's own."""

    client_id: ClientId
    client_secret: HeldSecret


DatabaseKind = Literal["autoscaling", "provisioned", "external"]
DEFAULT_KIND: DatabaseKind = "autoscaling"
NEW_CAPACITY = "CU_1"  # of an instance that is made without one stated
# Of a project that is made without them stated: scaling to zero after five minutes is on purpose, the launcher waits
# for a database that wakes up. A week of history is how far `rollback --to-database` reaches.
NEW_MIN_CU, NEW_MAX_CU, NEW_SUSPEND_AFTER, NEW_HISTORY_DAYS = 0.5, 2.0, 300, 7


class TargetDatabase(Model):
    """The database the app's principal creates its schema in; `databases` says which key goes with which kind."""

    kind: DatabaseKind = Field(
        default=DEFAULT_KIND, description="Lakebase autoscaling or provisioned, or any PostgreSQL by its URL"
    )
    managed: Flag = Field(
        default=True, description="false: somebody else makes, changes and deletes the database; only used"
    )
    project: LakebaseId | None = Field(
        default=None, description="autoscaling: Lakebase project; default: the app's name"
    )
    branch: LakebaseId = Field(default="production", description="autoscaling: branch of the project")
    endpoint: LakebaseId = Field(default="primary", description="autoscaling: endpoint of the branch")
    min_cu: ComputeUnits | None = Field(
        default=None, description="autoscaling: the least compute units; default: 0.5 for a new project"
    )
    max_cu: ComputeUnits | None = Field(
        default=None, description="autoscaling: the most compute units; default: 2 for a new project"
    )
    suspend_after: Suspension | None = Field(
        default=None,
        description="autoscaling: idle seconds until it scales to zero, or never; default: 300 for a new project",
    )
    history_days: RetentionDays | None = Field(
        default=None,
        description="autoscaling: how far back a branch can reach, 2 to 35; default: 7 for a new project",
    )
    instance: LakebaseId | None = Field(
        default=None, description="provisioned: database instance; default: the app's name"
    )
    capacity: Literal["CU_1", "CU_2", "CU_4", "CU_8"] | None = Field(
        default=None, description="provisioned: size of the instance; default: CU_1 for a new one"
    )
    name: DatabaseName | None = Field(
        default=None,
        description="PostgreSQL database; default: metamcp_app, for a provisioned instance databricks_postgres",
    )
    url: HeldSecret | None = Field(
        default=None, description="external: the secret that holds postgresql://user:password@host/database"
    )
    password: HeldSecret | None = Field(
        default=None, description="the secret that holds a password, instead of a credential each hour"
    )
    principal: DatabasePrincipal | None = Field(
        default=None,
        description="another service principal that logs in to the database, in place of the app's own",
    )
    permissions: Annotated[tuple[Permission, ...], Section(tuple)] = Field(
        default=(), description="who may use or manage the Lakebase project or instance, besides its owner"
    )


class Database(TargetDatabase):
    """As in a target, and what the release is built with."""

    schema_: Identifier = Field(
        default="metamcp_app", alias="schema", description="PostgreSQL schema of everything the app makes"
    )


class Secrets(Model):
    """Where secrets are kept."""

    managed: Flag = Field(
        default=True, description="false: somebody else makes the scope and writes its secrets; only read"
    )
    scope: SecretKey | None = Field(default=None, description="secret scope; default: the app's name")
    better_auth_secret: SecretKey = Field(
        default="BETTER_AUTH_SECRET",
        description="key of the secret that signs sign-ins (an Azure Key Vault takes no _ in names)",
    )
    permissions: Annotated[tuple[ScopePermission, ...], Section(tuple)] = Field(
        default=(), description="who may read, write or manage the scope, besides whoever made it"
    )


class Releases(Model):
    """Releases in the target's workspace."""

    keep: KeptReleases = Field(
        default=5,
        description="how many stay after a deployment; what runs and what a rollback needs always does",
    )


class Waits(Model):
    """How long each thing is waited for, in seconds."""

    answer: Seconds = Field(
        default=30, description="one answer of the workspace, and what is tried again after it failed"
    )
    throttled: Seconds = Field(default=120, description="a workspace that asks to come back later (429)")
    outage: Seconds = Field(
        default=120, description="a workspace that fails while something else is waited for"
    )
    compute: Seconds = Field(default=1200, description="the app's compute to start or stop")
    deployment: Seconds = Field(
        default=1200, description="a deployment to end (an app has 10 minutes to start)"
    )
    database: Seconds = Field(default=1200, description="Lakebase to make, change or start something")
    change: Seconds = Field(default=600, description="the app to be made or changed")
    deletion: Seconds = Field(
        default=1260, description="the app to be gone (the platform takes up to 20 minutes)"
    )


class Network(Model):
    """How to reach anything outside; each is also taken from the usual environment variables."""

    ca_bundle: File | None = Field(
        default=None, description="PEM file of certificates to trust besides the system's"
    )
    proxy: Line | None = Field(default=None, description="proxy URL for http and https")
    no_proxy: Line | None = Field(default=None, description="comma-separated hosts that need no proxy")
    npm_registry: Line | None = Field(default=None, description="registry URL for npm and pnpm")


class WorkspaceSettings(Model):
    """Which Databricks workspace, and as whom."""

    host: Host | None = Field(
        default=None, description="https origin; compared with the login before the first write"
    )
    profile: Line | None = Field(default=None, description="profile of ~/.databrickscfg")
    root_path: RootPath | None = Field(
        default=None,
        description="where releases and state live; default: below /Workspace/Users/<me>/.bundle",
    )


class Settings(Model):
    """Everything one run of the tool obeys, for one target."""

    target: str
    embedded: Flag = False
    protected: Flag = False
    upstream: Annotated[Upstream, Section()] = Upstream()
    build: Annotated[Build, Section()] = Build()
    app: Annotated[App, Section()] = App()
    database: Annotated[Database, Section()] = Database()
    secrets: Annotated[Secrets, Section()] = Secrets()
    network: Annotated[Network, Section()] = Network()
    workspace: Annotated[WorkspaceSettings, Section()] = WorkspaceSettings()
    releases: Annotated[Releases, Section()] = Releases()
    waits: Annotated[Waits, Section()] = Waits()
    overrides: Folder | None = None
    patches: Folder | None = None
    templates: Folder | None = None

    @property
    def sign_up(self) -> str:
        """Who may make an account: on this machine whoever comes may try everything, for their own address."""
        return self.app.sign_up or ("users" if self.embedded else "operators")

    @property
    def project_id(self) -> str:
        """The Lakebase project."""
        return self.database.project or self.app.name

    @property
    def instance_name(self) -> str:
        """The provisioned Lakebase instance."""
        return self.database.instance or self.app.name

    @property
    def database_name(self) -> str:
        """The PostgreSQL database. A provisioned instance comes with one, and no API makes another."""
        default = "databricks_postgres" if self.database.kind == "provisioned" else "metamcp_app"
        return self.database.name or default

    @property
    def secret_uses(self) -> list[tuple[str, str]]:
        """Which setting refers to which key of the scope: dotted name and key."""
        held: dict[str, object] = {f"app.env.{name}": value for name, value in self.app.env.items()}
        held |= {"database.url": self.database.url, "database.password": self.database.password}
        if principal := self.database.principal:
            held["database.principal.client_secret"] = principal.client_secret
        return [(name, value.secret) for name, value in held.items() if isinstance(value, SecretReference)]

    @property
    def secret_keys(self) -> frozenset[str]:
        """Keys of the scope that the settings refer to."""
        return frozenset(key for _, key in self.secret_uses)

    @property
    def secret_scope(self) -> str:
        """The secret scope."""
        return self.secrets.scope or self.app.name


__all__ = [
    "DEFAULT_KIND",
    "DEFAULT_REF",
    "DEFAULT_URL",
    "NEW_CAPACITY",
    "NEW_HISTORY_DAYS",
    "NEW_MAX_CU",
    "NEW_MIN_CU",
    "NEW_SUSPEND_AFTER",
    "PRINCIPALS",
    "App",
    "AppName",
    "Build",
    "Commit",
    "Database",
    "DatabaseKind",
    "DatabaseName",
    "EnvName",
    "Identifier",
    "LakebaseId",
    "Line",
    "Model",
    "Network",
    "Permission",
    "Releases",
    "SecretKey",
    "SecretReference",
    "Secrets",
    "Settings",
    "TargetDatabase",
    "Text",
    "Upstream",
    "Waits",
    "WorkspaceSettings",
]
