"""A database of a provisioned Lakebase instance, the older kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from metamcp_deploy import knowledge
from metamcp_deploy.config import database as config
from metamcp_deploy.target.access_lists import AccessList, spelled
from metamcp_deploy.target.databases.base import CONNECTING, Database, Trouble
from metamcp_deploy.target.rendering import block, granted
from metamcp_deploy.target.variables import EnvVar

if TYPE_CHECKING:
    from metamcp_deploy.errors import DeployError
    from metamcp_deploy.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Provisioned(Database):
    """An instance and its database, which comes with it.

    Attributes:
        name: of the instance.
        database: what Postgres calls it.
        capacity: of an instance that is made.
        held: fields that the settings state, as the API spells them: changed where they differ, also on an existing
            instance.
    """

    kind: ClassVar[str] = "provisioned"
    section: ClassVar[str] = "instance"
    name: str
    database: str
    capacity: str = config.NEW_CAPACITY
    held: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_settings(cls, stated: config.Provisioned, app: str) -> Self:
        """As the settings want it."""
        d = stated
        held = {"capacity": d.capacity, "usage_policy_id": d.usage_policy_id, "custom_tags": d.custom_tags}
        return cls(
            managed=d.managed,
            name=d.instance_name(app),
            database=d.database_name,
            capacity=d.capacity or config.NEW_CAPACITY,
            held={key: value for key, value in held.items() if value},
            permissions=spelled(d.permissions),
        )

    @classmethod
    def of_resource(cls, resource: Mapping[str, Any]) -> Self | None:
        """A resource names instance and database."""
        if not (named := resource.get("database")):
            return None
        return cls(name=str(named.get("instance_name", "")), database=str(named.get("database_name", "")))

    @property
    def identity(self) -> str:
        """Instance and database."""
        return f"{self.name}/{self.database}"

    @property
    def holder(self) -> str:
        """The instance."""
        return self.name

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.database} of instance {self.name}"

    @property
    def spec(self) -> dict[str, Any]:
        """Of an instance that is made."""
        return {"capacity": self.capacity, **self.held}

    @property
    def stated(self) -> dict[str, dict[str, Any]]:
        """Of the instance."""
        return {"instance": {"name": self.name, **self.held}}

    @property
    def attachment(self) -> dict[str, Any]:
        """A resource `database`."""
        return {"database": {"instance_name": self.name, "database_name": self.database, **CONNECTING}}

    @property
    def references(self) -> dict[str, dict[str, str]]:
        """A reference to the instance that the bundle makes."""
        return {"database": {"instance_name": "${resources.database_instances.database.name}"}}

    @property
    def access_list(self) -> AccessList:
        """Of the instance."""
        return AccessList(
            "database-instances", "database instance", self.name, self.managed, self.permissions
        )

    def credential(self) -> list[EnvVar]:
        """The instance's name."""
        return [EnvVar("LAKEBASE_INSTANCE_NAME", value=self.name)]

    def rendered(self) -> str:
        """The instance, as a block of YAML."""
        return block({"name": self.name, **self.spec, **granted(self.permissions)})

    def extended(self, added: Mapping[str, Mapping[str, Any]]) -> Self:
        """Permissions."""
        more = added.get("database_instances", {}).get("permissions", ())
        return replace(self, permissions=(*self.permissions, *more))

    def hindrance(self, workspace: Workspace) -> DeployError:
        """None are made any more."""
        known = knowledge.by_id("workspace", "instance-not-made")
        return known.error_of(None, {"name": self.name, "host": workspace.host})

    def find(self, workspace: Workspace) -> dict[str, Any] | None:
        """The instance."""
        return workspace.instances.find(self.name)

    def hindrances(self, workspace: Workspace) -> Iterator[Trouble]:
        """An instance that is not there, or not available."""
        found = self.find(workspace)
        path = f"GET /api/2.0/database/instances/{self.name}"
        if found is None:
            said = f"The database instance {self.name} does not exist"
            yield Trouble("platform", "instance-unknown", said, f"{path}: not found")
            return
        state = str(found.get("state") or "")
        if state == "STOPPED" or found.get("effective_stopped"):
            said = f"The database instance {self.name} is stopped"
            yield Trouble("database", "instance-stopped", said, f"{path}: {state}")
        elif state != "AVAILABLE":
            said = f"The database instance {self.name} is {state.lower() or 'in an unknown state'}"
            yield Trouble("doctor", "instance-changing", said, f"{path}: {state}")
