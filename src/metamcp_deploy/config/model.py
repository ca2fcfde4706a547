"""The settings of one target, as frozen models. A key is here only when something obeys it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from metamcp_deploy.config import hosts
from metamcp_deploy.config.app import App
from metamcp_deploy.config.constraints import (
    Commit,
    File,
    Flag,
    Folder,
    Host,
    KeptReleases,
    Line,
    RootPath,
    Seconds,
    SecretKey,
    Section,
)
from metamcp_deploy.config.database import Database
from metamcp_deploy.config.declaration import Model, ScopePermission, SecretReference, Setting, section

DEFAULT_URL = "https://github.com/metatool-ai/metamcp.git"
DEFAULT_REF = "v2.4.22"


class Upstream(Model):
    """Which MetaMCP: `commit`, when given, is a lock that `ref` must resolve to."""

    url: Annotated[Line, Setting(variable="METAMCP_REPO_URL", option="--url")] = Field(
        default=DEFAULT_URL, description="https, ssh or file URL, or a path"
    )
    ref: Annotated[Line, Setting(variable="METAMCP_REF", option="--ref")] = Field(
        default=DEFAULT_REF, description="tag, branch or full commit"
    )
    commit: Commit | None = Field(default=None, description="the commit that ref must resolve to")
    accepted_advisories: Annotated[tuple[Line, ...], Section(tuple)] = Field(
        default=(),
        description="ids of critical advisories of packages with which a protected target is deployed",
    )


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
    scope: Annotated[SecretKey | None, Setting(identity=True)] = Field(
        default=None, description="secret scope; default: the app's name"
    )
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

    host: Annotated[Host | None, Setting(variable="DATABRICKS_HOST")] = Field(
        default=None, description="https origin; compared with the login before the first write"
    )
    id: Annotated[Line | None, Setting(variable="DATABRICKS_WORKSPACE_ID")] = Field(
        default=None,
        description="of one workspace on a host that serves several; or `?o=<id>` behind the host",
    )
    profile: Annotated[
        Line | None, Setting(variable="DATABRICKS_CONFIG_PROFILE", option="--profile", personal=True)
    ] = Field(default=None, description="profile of ~/.databrickscfg")
    root_path: RootPath | None = Field(
        default=None,
        description="where releases and state live; default: below /Workspace/Users/<me>/.bundle",
    )

    @model_validator(mode="before")
    @classmethod
    def _id_behind_the_host(cls, stated: Any) -> Any:
        named = hosts.workspace_id(str(stated.get("host") or "")) if isinstance(stated, dict) else None
        if not named:
            return stated
        if (one := str(stated.get("id") or named)) != named:
            raise ValueError(f"the host names the workspace {named}, and `id` the workspace {one}")
        return {**stated, "id": named}


_PER_RELEASE = Setting(place="top")  # the build reads it, and one release serves every target
_PER_TARGET = Setting(
    place="target", variables=False, flags=False
)  # no stray variable changes what a target is


class Settings(Model):
    """Everything one run of the tool obeys, for one target. `layout` derives metamcp.yaml from it."""

    target: Annotated[str, Setting(place="nowhere", variables=False, flags=False)]
    embedded: Annotated[Flag, _PER_TARGET] = Field(
        default=False, description="the workspace on this machine instead of a real one"
    )
    protected: Annotated[Flag, _PER_TARGET] = Field(
        default=False,
        description="settings from the committed file alone, no branch pins; needs workspace.root_path",
    )
    upstream: Annotated[Upstream, Section(), _PER_RELEASE] = section()
    build: Annotated[Build, Section(), _PER_RELEASE] = section()
    app: Annotated[App, Section()] = section()
    database: Annotated[Database, Section(), Setting(identity=True)] = section()
    secrets: Annotated[Secrets, Section()] = section()
    network: Annotated[Network, Section(), Setting(personal=True)] = section()
    workspace: Annotated[WorkspaceSettings, Section(), Setting(identity=True)] = section()
    releases: Annotated[Releases, Section()] = section()
    waits: Annotated[Waits, Section(), Setting(personal=True)] = section()
    overrides: Annotated[Folder | None, _PER_RELEASE] = Field(
        default=None, description="folder of files laid over the upstream tree"
    )
    patches: Annotated[Folder | None, _PER_RELEASE] = Field(
        default=None, description="folder of patches, applied after the package's"
    )
    templates: Annotated[Folder | None, _PER_RELEASE] = Field(
        default=None, description="folder of templates, before the package's"
    )

    @property
    def sign_up(self) -> str:
        """Who may make an account: on this machine everybody may try everything, for their own address."""
        return self.app.sign_up or ("users" if self.embedded else "operators")

    @property
    def secret_uses(self) -> list[tuple[str, str]]:
        """Which setting refers to which key of the scope: dotted name and key."""
        held: dict[str, object] = {f"app.env.{name}": value for name, value in self.app.env.items()}
        held |= {f"database.{name}": value for name, value in self.database.references.items()}
        return [(name, value.secret) for name, value in held.items() if isinstance(value, SecretReference)]

    @property
    def secret_keys(self) -> frozenset[str]:
        """Keys of the scope that the settings refer to."""
        return frozenset(key for _, key in self.secret_uses)

    @property
    def secret_scope(self) -> str:
        """The secret scope."""
        return self.secrets.scope or self.app.name

    @property
    def defaults(self) -> dict[str, tuple[str, str]]:
        """Dotted key → value and its source, of settings whose default is no constant."""
        database = self.database.defaults(self.app.name)
        return {
            "app.sign_up": (self.sign_up, ""),
            "secrets.scope": (self.app.name, "app.name"),
            **{f"database.{key}": value for key, value in database.items()},
        }
