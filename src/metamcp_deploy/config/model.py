"""The settings of one target, as frozen models. A key is here only when something obeys it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from metamcp_deploy.config.app_section import App
from metamcp_deploy.config.common import PRINCIPALS, Model, Permission, ScopePermission, SecretReference
from metamcp_deploy.config.database_section import (
    DEFAULT_KIND,
    NEW_CAPACITY,
    NEW_HISTORY_DAYS,
    NEW_MAX_CU,
    NEW_MIN_CU,
    NEW_SUSPEND_AFTER,
    Database,
    DatabaseKind,
    TargetDatabase,
)
from metamcp_deploy.config.kinds import (
    AppName,
    Commit,
    DatabaseName,
    EnvName,
    File,
    Flag,
    Folder,
    Host,
    Identifier,
    KeptReleases,
    LakebaseId,
    Line,
    RootPath,
    Seconds,
    SecretKey,
    Section,
    Text,
)

DEFAULT_URL = "https://github.com/metatool-ai/metamcp.git"
DEFAULT_REF = "v2.4.22"


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
