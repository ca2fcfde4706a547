"""The databases that a target can have, as data, and what the settings make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from metamcp_deploy.config import model
from metamcp_deploy.config.model import Settings

OWNER_ROLE = "metamcp-owner"  # of a Lakebase branch: owns databases, and nobody logs in as it


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
    def stated(self) -> dict[str, dict[str, Any]]:
        """What the settings state of project and endpoint, each with its name: kept in records, to tell drift."""
        project = {field: self.project_spec[field] for field in sorted(self.held)}
        return {
            "project": {"name": self.project, **project},
            "endpoint": {"name": self.endpoint, **self.endpoint_spec},
        }

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

    @property
    def stated(self) -> dict[str, dict[str, Any]]:
        """As of `Lakebase`."""
        return {"instance": {"name": self.name, **({"capacity": self.capacity} if self.held else {})}}


@dataclass(frozen=True)
class External:
    """Any other Postgres: nothing of it is in the workspace but the secret with its URL."""

    kind: ClassVar[str] = "external"
    managed: bool = False
    permissions: tuple[dict[str, str], ...] = ()

    @property
    def stated(self) -> dict[str, dict[str, Any]]:
        """Nothing."""
        return {}


Database = Lakebase | Instance | External


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
