"""Lakebase provisioned as the embedded workspace keeps it: instances, over the one real Postgres.

Databases other than `databricks_postgres` are made with SQL, as on the platform: an app's resource may name any that
exists.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from metamcp_deploy.local.api.errors import conflict, exists, invalid, missing
from metamcp_deploy.local.lakebase.server import Lakebase
from metamcp_deploy.local.store import Store
from metamcp_deploy.local.tasks import Tasks
from metamcp_deploy.local.timing import Timing, stamp

DEFAULT_DATABASE = "databricks_postgres"
OF_INSTANCE = "instances/"  # what the place of an instance begins with
BILLED = ("usage_policy_id", "custom_tags")  # whom it is billed to
_CAPACITIES = ("CU_1", "CU_2", "CU_4", "CU_8")


class Instances:
    """All instances, by name; slow changes go on in the background.

    `of_projects` gives the names in the one Postgres of the databases that belong to projects.
    """

    def __init__(
        self,
        store: Store,
        lakebase: Lakebase,
        user: str,
        timing: Timing,
        of_projects: Callable[[], set[str]],
    ) -> None:
        self.store = store
        self.lakebase = lakebase
        self.user = user
        self.timing = timing
        self.of_projects = of_projects
        self.records = store.family("instances")
        self._tasks = Tasks()
        for name, record in list(self.records.items()):  # what a server's end cut off
            if record["state"] == "DELETING" or not record.get("made", True):
                del self.records[name]
            elif record["state"] != "STOPPED":
                record["state"] = "AVAILABLE"

    def record(self, name: str) -> dict[str, Any]:
        """An instance.

        Raises:
            ApiError: 404.
        """
        record: dict[str, Any] | None = self.records.get(name)
        if record is None:
            raise missing(f"Database instance {name} does not exist.")
        return record

    async def attachment(self, resource: dict[str, Any]) -> str:
        """The name in the one Postgres of the database that an app's resource names.

        Raises:
            ApiError: 400 for a wrong permission, 404 for an instance or a database that is not there.
        """
        record = self.record(str(resource.get("instance_name")))
        if resource.get("permission") != "CAN_CONNECT_AND_CREATE":
            raise invalid("A database resource needs the permission CAN_CONNECT_AND_CREATE.")
        name = str(resource.get("database_name"))
        physical = self.named(record["name"], name)
        if physical is None or (
            name != DEFAULT_DATABASE and not await self.lakebase.catalog.has_database(physical)
        ):
            raise missing(f"Database {name} does not exist in database instance {record['name']}.")
        if name != DEFAULT_DATABASE and name not in record.setdefault("databases", []):
            record["databases"].append(name)
            self.store.save()
        return physical

    def named(self, instance: str, name: str) -> str | None:
        """The database that a name means at an instance, among those made with SQL; None when it has none of that name.

        All share one Postgres: a database belongs to the instance of the first app that it is attached to.
        """
        if instance not in self.records:
            return None
        if name == DEFAULT_DATABASE:
            return own_database(instance)
        others = [r for n, r in self.records.items() if n != instance]
        taken = {own_database(n) for n in self.records} | {d for r in others for d in r.get("databases", [])}
        return None if name in taken | self.of_projects() else name

    def physical(self, resource: dict[str, Any]) -> str:
        """As `attachment`, without a look at what is there."""
        name = str(resource.get("database_name"))
        return own_database(str(resource["instance_name"])) if name == DEFAULT_DATABASE else name

    def create(self, name: str, capacity: str, creator: str, more: Mapping[str, Any]) -> dict[str, Any]:
        """Begins to create an instance.

        Raises:
            ApiError: 400, 409.
        """
        _check_capacity(capacity)
        if name in self.records:
            raise exists(f"Database instance {name} already exists.")
        self.records[name] = record = {
            **more,
            "name": name,
            "uid": str(uuid.uuid4()),
            "capacity": capacity,
            "state": "STARTING",
            "made": False,
            "creator": creator,
            "creation_time": stamp(time.time()),
        }
        self.store.save()
        self._tasks.start(self._made(record))
        return record

    async def _made(self, record: dict[str, Any]) -> None:
        await self.lakebase.catalog.make_superuser(self.user)
        await self.lakebase.catalog.create_database(own_database(record["name"]))
        await self.lakebase.catalog.grant(self.user, own_database(record["name"]))
        record["made"] = True
        await self._settled(record, "instance.start")

    async def _settled(self, record: dict[str, Any], what: str, state: str = "AVAILABLE") -> None:
        await self.timing.passes(what)
        record["state"] = state
        self.store.save()

    def change(
        self, name: str, *, capacity: str | None, stopped: bool | None, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Begins to change what is given.

        Raises:
            ApiError: 400, 404.
        """
        record = self.record(name)
        if record["state"] not in ("AVAILABLE", "STOPPED"):
            raise conflict(f"Database instance {name} is {record['state']}.")
        if capacity is not None:
            record["capacity"] = _check_capacity(capacity)
        record.update(more)
        self._tasks.start(
            self._turned(record, stopped=record["state"] == "STOPPED" if stopped is None else stopped)
        )
        self.store.save()
        return record

    def _turned(self, record: dict[str, Any], *, stopped: bool) -> Coroutine[Any, Any, None]:
        """The rest of a change that has begun: no login is taken while an instance is stopped."""
        was = record["state"] == "STOPPED"
        what = "instance.start" if was and not stopped else "instance.update"
        record["state"] = "STARTING" if was and not stopped else "UPDATING"

        async def finish() -> None:
            await self.lakebase.catalog.allow(own_database(record["name"]), logins=not stopped)
            await self._settled(record, what, "STOPPED" if stopped else "AVAILABLE")

        return finish()

    async def delete(self, name: str) -> None:
        """Deletes an instance and its data.

        Raises:
            ApiError: 404; 400 while it is being deleted.
        """
        record = self.record(name)
        if record["state"] == "DELETING":
            raise conflict(f"Database instance {name} is being deleted.")
        record["state"] = "DELETING"
        await self.lakebase.catalog.drop_database(own_database(name))
        if self.timing.seconds("instance.delete"):
            self._tasks.start(self._gone(name))
        else:
            await self._gone(name)

    async def _gone(self, name: str) -> None:
        await self.timing.passes("instance.delete")
        self.records.pop(name, None)
        self.store.save()

    def shown(self, record: dict[str, Any]) -> dict[str, Any]:
        """An instance as GET gives it."""
        stopped = {"effective_stopped": record["state"] == "STOPPED"}
        # The port of a host of its own is 5432 on the platform.
        address = {
            "read_write_dns": self.lakebase.host,
            "port": self.lakebase.doors.get(f"{OF_INSTANCE}{record['name']}"),
        }
        host = address if record["state"] == "AVAILABLE" else {}
        shown = {k: v for k, v in record.items() if k not in ("made", "databases")}
        shown |= {f"effective_{k}": record[k] for k in BILLED if k in record}
        return {**shown, **stopped, **host, "pg_version": "PG_VERSION_16"}


def own_database(instance: str) -> str:
    """The instance's `databricks_postgres` in the one Postgres behind all instances."""
    return f"{DEFAULT_DATABASE}_{hashlib.sha256(instance.encode()).hexdigest()[:8]}"


def _check_capacity(given: str) -> str:
    if given not in _CAPACITIES:
        raise invalid(f"capacity must be one of {', '.join(_CAPACITIES)}, not {given}")
    return given
