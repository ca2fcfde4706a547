"""The section `database`, of a target and of the whole."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from metamcp_deploy.config.common import HeldSecret, Model, Permission
from metamcp_deploy.config.kinds import (
    ClientId,
    ComputeUnits,
    DatabaseName,
    Flag,
    Identifier,
    LakebaseId,
    RetentionDays,
    Section,
    Suspension,
)


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
