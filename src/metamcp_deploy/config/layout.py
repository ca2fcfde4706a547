"""The layout of metamcp.yaml: what stands at its top and in a target, and its JSON Schema for editors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from metamcp_deploy.config.kinds import (
    Expected,
    Flag,
    Folder,
    Integer,
    Line,
    Section,
    TargetName,
)
from metamcp_deploy.config.model import (
    App,
    Build,
    Database,
    Model,
    Network,
    Releases,
    Secrets,
    TargetDatabase,
    Upstream,
    Waits,
    WorkspaceSettings,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class TargetSection(Model):
    """One target. What the build reads (`upstream`, `build`, `database.schema`, own patches) is the same for all."""

    embedded: Flag = Field(default=False, description="the workspace on this machine instead of a real one")
    protected: Flag = Field(
        default=False,
        description="settings from the committed file alone, no branch pins; needs workspace.root_path",
    )
    app: Annotated[App, Section()] = App()
    database: Annotated[TargetDatabase, Section()] = TargetDatabase()
    secrets: Annotated[Secrets, Section()] = Secrets()
    network: Annotated[Network, Section()] = Network()
    workspace: Annotated[WorkspaceSettings, Section()] = WorkspaceSettings()
    releases: Annotated[Releases, Section()] = Releases()
    waits: Annotated[Waits, Section()] = Waits()


class File(Model):
    """metamcp.yaml."""

    version: Annotated[Literal[1], Integer, Expected("1, the only version there is")] = Field(
        default=1, description="version of this file's layout"
    )
    requires: Line | None = Field(
        default=None, description="range of this tool's versions, such as >=0.1,<0.2"
    )
    upstream: Annotated[Upstream, Section()] = Upstream()
    build: Annotated[Build, Section()] = Build()
    app: Annotated[App, Section()] = App()
    database: Annotated[Database, Section()] = Database()
    secrets: Annotated[Secrets, Section()] = Secrets()
    network: Annotated[Network, Section()] = Network()
    workspace: Annotated[WorkspaceSettings, Section()] = WorkspaceSettings()
    releases: Annotated[Releases, Section()] = Releases()
    waits: Annotated[Waits, Section()] = Waits()
    overrides: Folder | None = Field(default=None, description="folder of files laid over the upstream tree")
    patches: Folder | None = Field(default=None, description="folder of patches, applied after the package's")
    templates: Folder | None = Field(default=None, description="folder of templates, before the package's")
    targets: Annotated[dict[TargetName, Annotated[TargetSection, Section()]], Section()] = Field(
        default_factory=dict, description="named environments; each overrides what stands at the top"
    )
    default_target: TargetName | None = Field(default=None, description="the target when none is named")


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of metamcp.yaml, for editors."""
    made = File.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **made, "title": "metamcp.yaml"}
