"""The section `database`: one model for each kind of database, and what a kind requires, forbids and leaves open.

A kind is named here only. The rest of this part asks the models, and `settings.database` is one of them. A new kind is
a new model, listed in `Database`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Union, get_args

from pydantic import BeforeValidator, Field

from metamcp_deploy.config.constraints import (
    ClientId,
    ComputeUnits,
    DatabaseName,
    Flag,
    Identifier,
    LakebaseId,
    PgVersion,
    PolicyId,
    RetentionDays,
    Section,
    Suspension,
    TagKey,
    TagValue,
)
from metamcp_deploy.config.declaration import HeldSecret, Model, Permission, SecretReference, Setting, fields
from metamcp_deploy.config.tree import Node, at, without

# Of what is created without a size stated. Scaling to zero after five minutes is on purpose: the launcher waits for a
# database that wakes up. A week of history is how far `rollback --to-database` reaches.
NEW_CAPACITY = "CU_1"
NEW_MIN_CU, NEW_MAX_CU, NEW_SUSPEND_AFTER, NEW_HISTORY_DAYS = 0.5, 2.0, 300, 7
# Source: docs.databricks.com, Manage computes: sizes that scale, and larger ones of a fixed size.
_MOST_SCALING, _WIDEST = 32, 16
_SIZES = frozenset({0.5, *range(1, 17), 24, 28, 32, *range(36, 65, 4), *range(72, 113, 8)})
_NAMED_SIZES = "0.5, 1 to 16, 24, 28, 32, 36 to 64 by 4, 72 to 112 by 8"
DEFAULT_ENDPOINT = "primary"
# The predecessor's name for what a Lakebase database is in; its meaning follows from the kind.
_CONTAINER = Setting(variable="LAKEBASE_INSTANCE_NAME")


_KIND = Field(description="Lakebase autoscaling or provisioned, or any PostgreSQL by its URL")


class DatabasePrincipal(Model):
    """A service principal that logs in to the database in place of the app's own."""

    client_id: ClientId
    client_secret: HeldSecret


class AnyDatabase(Model):
    """The keys of every kind."""

    reasons: ClassVar[Mapping[str, str]] = {}  # key of other kinds → why this kind has no such key

    password: HeldSecret | None = Field(
        default=None, description="the secret that holds a password, instead of a credential each hour"
    )
    schema_: Annotated[Identifier, Setting(place="top")] = Field(
        default="metamcp_app", alias="schema", description="PostgreSQL schema of everything the app makes"
    )

    @property
    def login(self) -> DatabasePrincipal | None:
        """The service principal that logs in, in place of the app's own."""
        return None

    @property
    def references(self) -> dict[str, SecretReference | None]:
        """The secrets that the settings refer to, by key below `database`."""
        return {"password": self.password}

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys below `database` with what is wrong with them together."""
        yield from ()

    def defaults(self, app: str) -> dict[str, tuple[str, str]]:
        """Key below `database` → value and source, of settings whose default is no constant; `app`: its name."""
        return {}


class Lakebase(AnyDatabase):
    """The keys of both kinds of Lakebase."""

    default_name: ClassVar[str]

    managed: Flag = Field(
        default=True, description="false: somebody else makes, changes and deletes the database; only used"
    )
    name: Annotated[DatabaseName | None, Setting(variable="LAKEBASE_DATABASE_NAME")] = Field(
        default=None,
        description="PostgreSQL database; default: metamcp_app, for a provisioned instance databricks_postgres",
    )
    principal: DatabasePrincipal | None = Field(
        default=None,
        description="another service principal that logs in to the database, in place of the app's own",
    )
    tags: Annotated[dict[TagKey, TagValue], Section(), Setting(variables=False)] = Field(
        default_factory=dict, description="custom tags of the Lakebase project or instance; others stay"
    )
    permissions: Annotated[tuple[Permission, ...], Section(tuple)] = Field(
        default=(), description="who may use or manage the Lakebase project or instance, besides its owner"
    )

    @property
    def custom_tags(self) -> list[dict[str, str]]:
        """The tags as the API has them."""
        return [{"key": key, "value": value} for key, value in self.tags.items()]

    @property
    def database_name(self) -> str:
        """The PostgreSQL database."""
        return self.name or self.default_name

    @property
    def login(self) -> DatabasePrincipal | None:
        """As of `AnyDatabase`."""
        return self.principal

    @property
    def references(self) -> dict[str, SecretReference | None]:
        """As of `AnyDatabase`."""
        secret = self.principal.client_secret if self.principal else None
        return {**super().references, "principal.client_secret": secret}

    def problems(self) -> Iterator[tuple[str, str]]:
        """As of `AnyDatabase`."""
        if self.principal and self.password:
            yield "principal", "logs in by itself with its credentials. Leave out either it or `password`."


class Autoscaling(Lakebase):
    """A database in a branch of a Lakebase autoscaling project."""

    default_name: ClassVar[str] = "metamcp_app"

    kind: Annotated[Literal["autoscaling"], _KIND] = "autoscaling"
    project: Annotated[LakebaseId | None, _CONTAINER] = Field(
        default=None, description="autoscaling: Lakebase project; default: the app's name"
    )
    branch: LakebaseId = Field(default="production", description="autoscaling: branch of the project")
    endpoint: LakebaseId = Field(default=DEFAULT_ENDPOINT, description="autoscaling: endpoint of the branch")
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
    budget_policy_id: PolicyId | None = Field(
        default=None, description="autoscaling: budget policy of the project"
    )
    pg_version: PgVersion | None = Field(
        default=None, description="autoscaling: major version of PostgreSQL, fixed when the project is made"
    )
    protect_branch: Flag | None = Field(
        default=None,
        description="autoscaling: true: the platform refuses to delete or reset the branch and its project",
    )

    def project_id(self, app: str) -> str:
        """The Lakebase project of an app."""
        return self.project or app

    def problems(self) -> Iterator[tuple[str, str]]:
        """As of `AnyDatabase`."""
        yield from super().problems()
        least, most = self.min_cu or NEW_MIN_CU, self.max_cu or NEW_MAX_CU
        for key, size in (("min_cu", least), ("max_cu", most)):
            if size not in _SIZES:
                yield key, f"no compute has {size:g} CU; there is {_NAMED_SIZES}."
        if least > most:
            yield "min_cu", f"the least compute units, {least:g}, are more than the most, {most:g}."
        elif most > _MOST_SCALING and least != most:
            yield "max_cu", f"above {_MOST_SCALING} CU nothing scales: min_cu has to be {most:g}, too."
        elif most - least > _WIDEST:
            yield "max_cu", f"is {most - least:g} CU above min_cu, {least:g}; at most {_WIDEST} are allowed."

    def defaults(self, app: str) -> dict[str, tuple[str, str]]:
        """As of `AnyDatabase`."""
        return {"project": (app, "app.name"), "name": (self.default_name, "")}

    def identity(self, app: str, scope: str) -> tuple[str, str] | None:
        """The database in words, and the key that identifies it among targets; None for one of others."""
        text = f"{self.project_id(app)}/{self.branch}/{self.database_name}"
        return (text, "database.project") if self.managed else None


class Provisioned(Lakebase):
    """The database of a provisioned Lakebase instance. An instance comes with one, and no API makes another."""

    default_name: ClassVar[str] = "databricks_postgres"

    kind: Annotated[Literal["provisioned"], _KIND] = "provisioned"
    instance: Annotated[LakebaseId | None, _CONTAINER] = Field(
        default=None, description="provisioned: database instance; default: the app's name"
    )
    capacity: Literal["CU_1", "CU_2", "CU_4", "CU_8"] | None = Field(
        default=None, description="provisioned: size of the instance; default: CU_1 for a new one"
    )
    usage_policy_id: PolicyId | None = Field(
        default=None, description="provisioned: usage policy of the instance"
    )

    def instance_name(self, app: str) -> str:
        """The instance of an app."""
        return self.instance or app

    def defaults(self, app: str) -> dict[str, tuple[str, str]]:
        """As of `AnyDatabase`."""
        return {"instance": (app, "app.name"), "name": (self.default_name, "")}

    def identity(self, app: str, scope: str) -> tuple[str, str] | None:
        """As of `Autoscaling`."""
        text = f"{self.instance_name(app)}/{self.database_name}"
        return (text, "database.instance") if self.managed else None


class External(AnyDatabase):
    """Any PostgreSQL by its URL: nothing of it is created, changed or deleted."""

    reasons: ClassVar[Mapping[str, str]] = {
        "name": "an external database is named by its URL.",
        "managed": "an external database is never made or changed.",
    }
    managed: ClassVar[bool] = False

    kind: Annotated[Literal["external"], _KIND] = "external"
    url: HeldSecret | None = Field(
        default=None, description="external: the secret that holds postgresql://user:password@host/database"
    )

    @property
    def references(self) -> dict[str, SecretReference | None]:
        """As of `AnyDatabase`."""
        return {"url": self.url, **super().references}

    def problems(self) -> Iterator[tuple[str, str]]:
        """As of `AnyDatabase`."""
        if self.url is None:
            text = (
                "an external database needs `url: {secret: KEY}`, the key of the secret that holds its URL."
            )
            yield "kind", text

    def identity(self, app: str, scope: str) -> tuple[str, str] | None:
        """As of `Autoscaling`."""
        return (f"{scope}/{self.url.secret}", "database.url") if self.url else None


_Kind = Union[Autoscaling, Provisioned, External]  # noqa: UP007 -- its arguments are read below
KINDS = {str(model.model_fields["kind"].default): model for model in get_args(_Kind)}
DEFAULT_KIND = next(iter(KINDS))


def _of_a_kind(value: Any) -> Any:
    """What is stated of a database with its kind; an empty key of another kind states nothing."""
    if not isinstance(value, dict):
        return value
    stated = {"kind": DEFAULT_KIND, **value}
    kind = str(stated["kind"])
    return {k: v for k, v in stated.items() if v is not None or kind not in KINDS or not stray(kind, k)}


Database = Annotated[_Kind, Field(discriminator="kind"), BeforeValidator(_of_a_kind)]


def has(kind: str, key: str) -> bool:
    """Whether a kind has a key below `database`."""
    return kind in KINDS and key.split(".")[0] in fields(KINDS[kind])


def stray(kind: str, key: str) -> str | None:
    """What is wrong with a key below `database` that belongs to another kind; None where no kind has it."""
    if reason := KINDS[kind].reasons.get(key):
        return f"{reason} Leave `{key}` out."
    others = [name for name in KINDS if has(name, key)]
    if has(kind, key) or not others:
        return None
    return f"goes with kind {others[0]}, and this database's kind is {kind}. Leave `{key}` out, or change `kind`."


def stated_kind(tree: Node | None) -> str:
    """The kind that a tree states (whether it exists or not), else the default."""
    node = at(tree, ["database", "kind"])
    return str(node.value) if node and node.value is not None else DEFAULT_KIND


def inherited(lower: Node | None, upper: Node | None) -> Node | None:
    """`lower` as `upper` is laid over it: a database of another kind inherits only the keys that both kinds have."""
    kind = stated_kind(upper)
    if at(upper, ["database", "kind"]) is None or kind not in KINDS or kind == stated_kind(lower):
        return lower
    section = at(lower, ["database"])
    there = section.value if section and isinstance(section.value, dict) else {}
    return without(lower, *(("database", key) for key in there if stray(kind, key)))
