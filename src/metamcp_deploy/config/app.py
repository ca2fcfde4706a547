"""The section `app`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from metamcp_deploy.config.constraints import (
    AppName,
    AsWritten,
    ChildName,
    Email,
    Expected,
    Flag,
    HealthSeconds,
    IdleSeconds,
    Line,
    PolicyId,
    Section,
    TableName,
    Text,
    UserScope,
    WarehouseId,
)
from metamcp_deploy.config.declaration import Model, Permission, SecretReference, Setting

# Names in `app.env` that the tool or the platform sets, and the reason that an error gives.
_RESERVED = {
    "APP_URL": "it is the app's own address, known once the app exists",
    "BETTER_AUTH_SECRET": "it is kept in the target's secret scope",
    "DATABASE_URL": "it is made from the database's credential, which changes every hour",
    "HOSTNAME": "the launcher binds the services to this machine's own address",
    "LAKEBASE_ENDPOINT": "it is the database resource's path",
    "METAMCP_ALLOW_INSTANCES": "app.allow_instances sets it",
    "METAMCP_APP_ENV": "it lists the variables that the services get",
    "METAMCP_BACKEND_PORT": "the launcher chooses the port",
    "METAMCP_CHILD_ENV": "app.child_env sets it",
    "METAMCP_COMPUTE_SIZE": "app.compute_size sets it",
    "METAMCP_CONTACT": "app.contact sets it",
    "METAMCP_DATABASE_CLIENT_ID": "database.principal sets it",
    "METAMCP_DATABASE_CLIENT_SECRET": "database.principal sets it",
    "METAMCP_INNER_PORT": "the launcher chooses the port",
    "METAMCP_INSPECTOR": "app.inspector sets it",
    "METAMCP_OPERATORS": "app.operators sets it",
    "METAMCP_PROXY_SECRET": "the embedded workspace sets it",
    "METAMCP_SECRET_ENV": "it lists the variables that are secrets",
    "METAMCP_SESSION_IDLE": "app.session_idle sets it",
    "METAMCP_SIGN_UP": "app.sign_up sets it",
    "NEXT_PUBLIC_APP_URL": "it is the app's own address, known once the app exists",
    "NODE_ENV": "the launcher starts the services for production",
    "PORT": "the launcher chooses the port",
    "TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL": "there is no Docker around the app",
}
_RESERVED_PREFIXES = {
    "DATABRICKS_": "the platform sets all DATABRICKS_ names",
    "PG": "the database resource sets the PG names",
}
# Names that change which code a program loads: the launcher, MetaMCP, MCP servers. Those of certificates do not.
_LOADERS = re.compile(
    r"^(LD_|DYLD_|GLIBC_|GCONV_)\w*$|^(PATH|HOME|SHELL|ENV|BASH_ENV|IFS)$"
    r"|^NODE_(OPTIONS|PATH|COMPILE_CACHE|V8_COVERAGE|REPL_EXTERNAL_MODULE|ICU_DATA)$|^npm_config_node_options$"
    r"|^PYTHON(PATH|HOME|STARTUP|INSPECT|USERBASE|BREAKPOINT|WARNINGS|PLATLIBDIR)$|^(PERL5?|RUBY)(OPT|LIB)$"
    r"|^OPENSSL_(CONF|CONF_INCLUDE|ENGINES|MODULES)$|^_?(JAVA|JDK_JAVA)(_TOOL)?_OPTIONS$|^CLASSPATH$",
    re.IGNORECASE,
)


def _not_reserved(name: str) -> str:
    """Refuses a name that the tool or the platform sets."""
    why = _RESERVED.get(name) or next((w for p, w in _RESERVED_PREFIXES.items() if name.startswith(p)), None)
    if why:
        raise ValueError(f"may not be set: {why}")
    return name


SESSION_IDLE = 4 * 3600  # seconds; the launcher has the same default

EnvName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
    Expected("a variable name: letters, digits and _, the first no digit"),
    AfterValidator(_not_reserved),
]
EnvValue = Annotated[Text | SecretReference, Expected("a text on one line, or {secret: KEY}"), AsWritten]


class UnityCatalog(Model):
    """Tables of Unity Catalog for an app's telemetry: the API takes all three or none."""

    logs_table: TableName
    metrics_table: TableName
    traces_table: TableName


class TelemetryDestination(Model):
    """Where the platform exports an app's telemetry to."""

    unity_catalog: UnityCatalog


class App(Model):
    """The Databricks App."""

    name: Annotated[AppName, Setting(variable="APP_NAME", option="--app", identity=True)] = Field(
        default="metamcp", description="unique in its workspace; mcp- in front lists it in AI Playground"
    )
    managed: Flag = Field(
        default=True, description="false: somebody else makes, changes and deletes the app; only deployed to"
    )
    description: Line | None = Field(default=None, description="what the workspace shows of the app")
    compute_size: Literal["MEDIUM", "LARGE", "XLARGE"] = Field(
        default="MEDIUM", description="size of the app's container"
    )
    budget_policy_id: PolicyId | None = Field(default=None, description="budget policy of the app's compute")
    usage_policy_id: PolicyId | None = Field(default=None, description="usage policy of the app's compute")
    space: AppName | None = Field(default=None, description="app space that the app is made in, for good")
    telemetry_export_destinations: Annotated[
        tuple[TelemetryDestination, ...], Section(tuple), Setting(variables=False)
    ] = Field(default=(), description="tables that the platform exports logs, metrics and traces to")
    telemetry_warehouse: WarehouseId | None = Field(
        default=None,
        description="id of the SQL warehouse through which `logs --since` reads the table of logs",
    )
    health_check: HealthSeconds | None = Field(
        default=None,
        description="seconds for a deployment to become healthy, until when the previous one serves; "
        "default: a deployment counts as soon as its port answers",
    )
    user_api_scopes: Annotated[tuple[UserScope, ...], Section(tuple)] = Field(
        default=(), description="what the app may do in its user's name (user authorization), such as sql"
    )
    permissions: Annotated[tuple[Permission, ...], Section(tuple), Setting(variables=False)] = Field(
        default=(), description="who may use or manage the app, besides its owner"
    )
    env: Annotated[dict[EnvName, EnvValue], Section(), Setting(variables=False)] = Field(
        default_factory=dict,
        description="variables of the services: a text, or {secret: key of the scope}",
    )
    allow_env: Annotated[tuple[Line, ...], Section(tuple), Setting(variables=False)] = Field(
        default=(),
        description="names that app.env may set although they change how programs load, such as NODE_OPTIONS",
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
    session_idle: IdleSeconds = Field(
        default=SESSION_IDLE,
        description="seconds after which an MCP session without a request or an open stream is ended (at most 1800 "
        "while memory is scarce); 0: never",
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

    @model_validator(mode="after")
    def _env_loads_nothing(self) -> Self:
        for name in self.env:
            if _LOADERS.match(name) and name not in self.allow_env:
                raise ValueError(
                    f"env.{name} changes how programs load. If it has to, name it in app.allow_env"
                )
        return self
