"""Lakebase provisioned (`/api/2.0/database/...`): instances and their credentials, over the one real Postgres.

Only what a deployment needs of the family. Databases other than `databricks_postgres` are made with SQL, as on the
platform: an app's resource may name any that is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from metamcp_deploy.local.answers import (
    answer,
    body,
    conflict,
    denied,
    exists,
    flag,
    invalid,
    missing,
    page,
    stamp,
    text,
)
from metamcp_deploy.local.identity import Principal
from metamcp_deploy.local.lakebase.autoscaling import check_id
from metamcp_deploy.local.lakebase.server import Lakebase
from metamcp_deploy.local.store import Store
from metamcp_deploy.local.timing import Pace

DEFAULT_DATABASE = "databricks_postgres"
_CAPACITIES = ("CU_1", "CU_2", "CU_4", "CU_8")
_ROOT = "/api/2.0/database"


class Instances:
    """The `database/instances` family and its credentials."""

    def __init__(
        self, store: Store, lakebase: Lakebase, user: str, ttl: float, pace: Pace | None = None
    ) -> None:
        self.store = store
        self.lakebase = lakebase
        self.user = user
        self.ttl = ttl
        self.pace = pace or Pace()
        self.records = store.family("instances")
        self._tasks: set[asyncio.Task[None]] = set()
        for name, record in list(self.records.items()):  # what a server's end cut off
            if record["state"] == "DELETING" or not record.get("made", True):
                del self.records[name]
            elif record["state"] != "STOPPED":
                record["state"] = "AVAILABLE"

    def routes(self) -> list[web.RouteDef]:
        """All of the family."""
        return [
            web.post(f"{_ROOT}/credentials", self._credential),
            web.post(f"{_ROOT}/instances", self._create),
            web.get(f"{_ROOT}/instances", self._list),
            web.get(_ROOT + "/instances/{name}", self._get),
            web.patch(_ROOT + "/instances/{name}", self._change),
            web.delete(_ROOT + "/instances/{name}", self._delete),
        ]

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
        physical = self.physical(resource)
        if name != DEFAULT_DATABASE and not await self.lakebase.has_database(physical):
            raise missing(f"Database {name} does not exist in database instance {record['name']}.")
        return physical

    def physical(self, resource: dict[str, Any]) -> str:
        """As `attachment`, without a look at what is there."""
        name = str(resource.get("database_name"))
        return own_database(str(resource["instance_name"])) if name == DEFAULT_DATABASE else name

    async def _credential(self, request: web.Request) -> web.Response:
        """A Postgres password; an app's principal can have one only for an instance that it has a resource of."""
        data = await body(request)
        names = data.get("instance_names")
        if not isinstance(names, list) or not names:
            raise invalid("Missing required field: instance_names")
        text(data, "request_id")
        principal: Principal = request["principal"]
        for name in map(str, names):
            self.record(name)
            if principal.app and name not in self._attached(principal.app):
                raise denied(f"{principal.display_name} has no access to database instance {name}.")
        issued = self.lakebase.issue_credential(principal.name, self.ttl)
        return answer({"token": issued.token.reveal(), "expiration_time": stamp(issued.expires_at)})

    def _attached(self, app: str) -> set[str]:
        resources = self.store.family("apps")[app]["spec"].get("resources") or []
        return {r["database"]["instance_name"] for r in resources if "database" in r}

    async def _create(self, request: web.Request) -> web.Response:
        data = await body(request)
        name = check_id(text(data, "name"))
        capacity = _capacity(text(data, "capacity", "CU_1"))
        if name in self.records:
            raise exists(f"Database instance {name} already exists.")
        self.records[name] = record = {
            "name": name,
            "uid": str(uuid.uuid4()),
            "capacity": capacity,
            "state": "STARTING",
            "made": False,
            "creator": request["principal"].name,
            "creation_time": stamp(time.time()),
        }
        self.store.save()
        self._later(self._made(record))
        return answer(self._shown(record))

    async def _made(self, record: dict[str, Any]) -> None:
        await self.lakebase.ensure_role(self.user)
        await self.lakebase.create_database(own_database(record["name"]))
        await self.lakebase.grant(self.user, own_database(record["name"]))
        record["made"] = True
        await self._settled(record, "instance.start")

    async def _settled(self, record: dict[str, Any], what: str, state: str = "AVAILABLE") -> None:
        await self.pace.passes(what)
        record["state"] = state
        self.store.save()

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _list(self, request: web.Request) -> web.Response:
        shown = [self._shown(r) for r in self.records.values()]
        return answer(page(shown, request.query, "database_instances"))

    async def _get(self, request: web.Request) -> web.Response:
        return answer(self._shown(self.record(request.match_info["name"])))

    async def _change(self, request: web.Request) -> web.Response:
        record, data = self.record(request.match_info["name"]), await body(request)
        mask = {m for m in request.query.get("update_mask", "").split(",") if m}
        if not mask or mask - {"capacity", "stopped"}:
            raise invalid("The embedded workspace changes nothing but capacity and stopped of an instance.")
        if record["state"] not in ("AVAILABLE", "STOPPED"):
            raise conflict(f"Database instance {record['name']} is {record['state']}.")
        if "capacity" in mask:
            record["capacity"] = _capacity(text(data, "capacity"))
        stopped = flag(data.get("stopped")) if "stopped" in mask else record["state"] == "STOPPED"
        self._later(self._turned(record, stopped=stopped))
        self.store.save()
        return answer(self._shown(record))

    def _turned(self, record: dict[str, Any], *, stopped: bool) -> Coroutine[Any, Any, None]:
        """The rest of a change that has begun: no login is taken while an instance is stopped."""
        was = record["state"] == "STOPPED"
        what = "instance.start" if was and not stopped else "instance.update"
        record["state"] = "STARTING" if was and not stopped else "UPDATING"

        async def finish() -> None:
            await self.lakebase.allow(own_database(record["name"]), logins=not stopped)
            await self._settled(record, what, "STOPPED" if stopped else "AVAILABLE")

        return finish()

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.record(name)
        if not flag(request.query.get("purge")):
            raise invalid("Deleting a database instance deletes its data: it needs purge=true.")
        record = self.record(name)
        if record["state"] == "DELETING":
            raise conflict(f"Database instance {name} is being deleted.")
        record["state"] = "DELETING"
        await self.lakebase.drop_database(own_database(name))
        if self.pace.seconds("instance.delete"):
            self._later(self._gone(name))
        else:
            await self._gone(name)
        return answer({})

    async def _gone(self, name: str) -> None:
        await self.pace.passes("instance.delete")
        self.records.pop(name, None)
        self.store.save()

    def _shown(self, record: dict[str, Any]) -> dict[str, Any]:
        stopped = {"effective_stopped": record["state"] == "STOPPED"}
        host = {"read_write_dns": self.lakebase.host} if record["state"] == "AVAILABLE" else {}
        shown = {k: v for k, v in record.items() if k != "made"}
        return {**shown, **stopped, **host, "pg_version": "PG_VERSION_16"}


def own_database(instance: str) -> str:
    """The instance's `databricks_postgres` in the one Postgres behind all instances."""
    return f"{DEFAULT_DATABASE}_{hashlib.sha256(instance.encode()).hexdigest()[:8]}"


def _capacity(given: str) -> str:
    if given not in _CAPACITIES:
        raise invalid(f"capacity must be one of {', '.join(_CAPACITIES)}, not {given}")
    return given
