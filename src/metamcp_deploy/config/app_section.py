"""The section `app`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from metamcp_deploy.config.common import Model, Permission, SecretReference
from metamcp_deploy.config.kinds import (
    AppName,
    AsWritten,
    ChildName,
    Email,
    EnvName,
    Expected,
    Flag,
    Line,
    Section,
    Text,
    UserScope,
)

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
