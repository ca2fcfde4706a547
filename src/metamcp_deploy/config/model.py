"""The settings of one target, as frozen models. A key is here only when something obeys it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

DEFAULT_URL = "https://github.com/metatool-ai/metamcp.git"
DEFAULT_REF = "v2.4.22"

# Source of the patterns: facts/databricks.md ("Apps", "Lakebase"); PostgreSQL identifiers are at most 63 bytes.
AppName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", min_length=2, max_length=30)]
LakebaseId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", min_length=1, max_length=63)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$", min_length=1, max_length=63)]
DatabaseName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", min_length=4, max_length=63)]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
SecretKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n\0]*$")]


class Model(BaseModel):
    """Frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Upstream(Model):
    """Which MetaMCP: `commit`, when given, is a lock that `ref` must resolve to."""

    url: Line = Field(DEFAULT_URL, description="https, ssh or file URL, or a path")
    ref: Line = Field(DEFAULT_REF, description="tag, branch or full commit")
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = Field(
        None, description="the commit that ref must resolve to"
    )


class Permission(Model):
    """One grant on the app, to exactly one of a user, a group or a service principal."""

    level: Literal["CAN_USE", "CAN_MANAGE"]
    user_name: Line | None = None
    group_name: Line | None = None
    service_principal_name: Line | None = None


class SecretReference(Model):
    """An environment value that is a key of the target's secret scope."""

    secret: SecretKey


class App(Model):
    """The Databricks App."""

    name: AppName = "metamcp"
    compute_size: Literal["MEDIUM", "LARGE", "XLARGE"] = "MEDIUM"
    permissions: tuple[Permission, ...] = ()
    env: dict[EnvName, Line | SecretReference] = Field(default_factory=dict)


class Database(Model):
    """The Lakebase database the app's principal creates its schema in."""

    kind: Literal["autoscaling"] = "autoscaling"
    project: LakebaseId | None = Field(None, description="Lakebase project; default: the app's name")
    branch: LakebaseId = "production"
    endpoint: LakebaseId = "primary"
    name: DatabaseName = "metamcp_app"
    schema_: Identifier = Field("metamcp_app", alias="schema")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Secrets(Model):
    """Where secrets are kept."""

    scope: SecretKey | None = Field(None, description="secret scope; default: the app's name")


class Network(Model):
    """How to reach anything outside; each is also taken from the usual environment variables."""

    ca_bundle: Path | None = Field(None, description="PEM file of certificates to trust besides the system's")
    proxy: Line | None = Field(None, description="proxy URL for http and https")
    no_proxy: Line | None = Field(None, description="comma-separated hosts that need no proxy")
    npm_registry: Line | None = Field(None, description="registry URL for npm and pnpm")


class WorkspaceSettings(Model):
    """Which Databricks workspace, and as whom."""

    host: Line | None = Field(None, description="https origin; compared with the login before the first write")
    profile: Line | None = Field(None, description="profile of ~/.databrickscfg")
    root_path: Annotated[str, StringConstraints(pattern=r"^/Workspace/[^\r\n\0]+$")] | None = Field(
        None, description="where releases and state live; default: below /Workspace/Users/<me>/.bundle"
    )


class Settings(Model):
    """Everything one run of the tool obeys, for one target."""

    target: str
    embedded: bool = False
    protected: bool = False
    upstream: Upstream = Upstream()
    app: App = App()
    database: Database = Database()
    secrets: Secrets = Secrets()
    network: Network = Network()
    workspace: WorkspaceSettings = WorkspaceSettings()
    overrides: Path | None = None
    patches: Path | None = None
    templates: Path | None = None

    @property
    def project_id(self) -> str:
        """The Lakebase project."""
        return self.database.project or self.app.name

    @property
    def secret_scope(self) -> str:
        """The secret scope."""
        return self.secrets.scope or self.app.name
