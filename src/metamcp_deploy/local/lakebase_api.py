"""Routes of Lakebase autoscaling (`/api/2.0/postgres/...`): what changes something returns an operation to poll."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from metamcp_deploy.local.answers import (
    ApiError,
    answer,
    body,
    denied,
    exists,
    flag,
    invalid,
    missing,
    page,
    stamp,
    text,
)
from metamcp_deploy.local.databases import SHORTEST_ID, Databases, check_id
from metamcp_deploy.local.identity import Principal

_log = logging.getLogger(__name__)
_SHORTEST_TTL = 300.0
_KINDS = {"projects": 1, "branches": 1, "endpoints": 1, "databases": SHORTEST_ID, "roles": SHORTEST_ID}


class LakebaseApi:
    """HTTP in front of Databases."""

    def __init__(self, databases: Databases, ttl: float) -> None:
        self.databases = databases
        self.ttl = ttl
        self.operations: dict[str, dict[str, Any]] = {}
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """All of the family; names of resources contain slashes."""
        base = "/api/2.0/postgres"
        name = r"{name:projects/.+}"
        return [
            web.post(f"{base}/credentials", self._credential),
            web.post(base + r"/{kind:projects}", self._create),
            web.get(base + r"/{kind:projects}", self._list),
            web.get(base + r"/{name:projects/.+/operations/[^/]+}", self._operation),
            web.post(base + r"/{parent:projects/.+}/{kind:branches|endpoints|databases|roles}", self._create),
            web.get(base + r"/{parent:projects/.+}/{kind:branches|endpoints|databases|roles}", self._list),
            web.get(f"{base}/{name}", self._get),
            web.delete(f"{base}/{name}", self._delete),
        ]

    async def _credential(self, request: web.Request) -> web.Response:
        """A Postgres password for whoever asks; an app's principal can have one only where it has a resource."""
        data = await body(request)
        endpoint = text(data, "endpoint")
        if not re.fullmatch(r"projects/[^/]+/branches/[^/]+/endpoints/[^/]+", endpoint):
            raise invalid("endpoint must be projects/{project}/branches/{branch}/endpoints/{endpoint}")
        self.databases.resource(endpoint)
        principal: Principal = request["principal"]
        if principal.app and not self._attached(principal.app, endpoint):
            raise denied(f"{principal.display_name} has no access to {endpoint}.")
        issued = self.databases.lakebase.issue_credential(principal.name, self._lifetime(data))
        return answer({"token": issued.token.reveal(), "expire_time": stamp(issued.expires_at)})

    def _attached(self, app: str, endpoint: str) -> bool:
        resources = self.databases.store.family("apps")[app]["spec"].get("resources") or []
        branches = [r["postgres"]["branch"] for r in resources if "postgres" in r]
        return any(endpoint.startswith(f"{branch}/") for branch in branches)

    def _lifetime(self, data: dict[str, Any]) -> float:
        if "ttl" not in data:
            return self.ttl
        asked = re.fullmatch(r"(\d+(\.\d+)?)s", str(data["ttl"]))
        if asked is None or not _SHORTEST_TTL <= float(asked[1]) <= 3600:
            raise invalid("ttl must be a duration between 300s and 3600s")
        return min(float(asked[1]), self.ttl)

    async def _create(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        parent = request.match_info.get("parent", "")
        singular = kind[:-1] if kind != "branches" else "branch"
        identifier = check_id(
            request.query.get(f"{singular}_id") or f"{singular}-{uuid.uuid4().hex[:12]}", _KINDS[kind]
        )
        siblings = self._siblings(parent, kind)
        name = f"{parent}/{kind}/{identifier}".lstrip("/")
        if name in self._under_way:
            raise exists(f"{singular} {name} is being created")
        if identifier in siblings:
            if flag(request.query.get("replace_existing")):
                return answer(self._done(name, self.shown(name)))
            raise exists(f"{singular} {name} already exists")
        spec = (await body(request)).get("spec") or {}
        if kind == "projects":
            return answer(self._start(name, lambda: self.databases.create_project(identifier, spec)))
        if kind == "databases":
            return answer(self._start(name, lambda: self.databases.create_database(parent, identifier, spec)))
        if kind in ("endpoints", "roles"):
            make = self.databases.create_endpoint if kind == "endpoints" else self.databases.create_role
            return answer(self._done(name, self.shown(make(parent, identifier, spec))))
        raise ApiError(
            501,
            "NOT_IMPLEMENTED",
            "The embedded workspace does not imitate branching: a branch is a copy of another one's data.",
        )

    def _siblings(self, parent: str, kind: str) -> dict[str, Any]:
        siblings: dict[str, Any] = (
            self.databases.resource(parent)[kind] if parent else self.databases.projects
        )
        return siblings

    def _start(self, name: str, work: Callable[[], Awaitable[str]]) -> dict[str, Any]:
        """An operation that is not done in its first answer, as on the platform: clients must poll."""
        operation: dict[str, Any] = {
            "name": f"{name}/operations/{uuid.uuid4()}",
            "done": False,
            "metadata": {},
        }
        self.operations[operation["name"]] = operation
        self._under_way.add(name)

        async def run() -> None:
            try:
                operation["response"] = self.shown(await work())
            except ApiError as e:
                operation["error"] = {"error_code": e.error_code, "message": e.message}
            except Exception as e:
                _log.exception("%s", operation["name"])
                operation["error"] = {"error_code": "INTERNAL_ERROR", "message": f"{type(e).__name__}: {e}"}
            self._under_way.discard(name)
            operation["done"] = True

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return dict(operation)

    def _done(self, name: str, response: dict[str, Any]) -> dict[str, Any]:
        operation_name = f"{name}/operations/{uuid.uuid4()}"
        self.operations[operation_name] = {"name": operation_name, "done": True, "response": response}
        return self.operations[operation_name]

    async def _operation(self, request: web.Request) -> web.Response:
        operation = self.operations.get(request.match_info["name"])
        if operation is None:
            raise missing(f"operation {request.match_info['name']} not found")
        return answer(operation)

    async def _get(self, request: web.Request) -> web.Response:
        return answer(self.shown(request.match_info["name"]))

    async def _list(self, request: web.Request) -> web.Response:
        kind, parent = request.match_info["kind"], request.match_info.get("parent", "")
        found = self._siblings(parent, kind)
        return answer(page([self.shown(r["name"]) for r in found.values()], request.query, kind))

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.databases.resource(name)
        await self.databases.delete(name)
        return answer(self._done(name, {}))

    def shown(self, name: str) -> dict[str, Any]:
        """A resource as GET gives it: `status`, never `spec`."""
        record = self.databases.resource(name)
        result = {k: record[k] for k in ("name", "uid", "create_time")}
        if "/" in (parent := name.rsplit("/", 2)[0]):
            result["parent"] = parent
        return result | {"status": self._status(record)}

    def _status(self, record: dict[str, Any]) -> dict[str, Any]:
        if "project_id" in record:
            settings = record["settings"]
            known = {k: record[k] for k in ("project_id", "display_name", "pg_version")}
            default = f"{record['name']}/branches/production"
            return {**settings, **known, "owner": self.databases.user, "default_branch": default}
        if "branch_id" in record:
            return {"branch_id": record["branch_id"], "default": record["default"], "current_state": "READY"}
        if "endpoint_id" in record:
            host = self.databases.lakebase.host
            shown = {"endpoint_id": record["endpoint_id"], "current_state": "ACTIVE", "hosts": {"host": host}}
            return dict(record["spec"]) | shown
        if "database_id" in record:
            return {k: record[k] for k in ("database_id", "postgres_database", "role")}
        return {
            "role_id": record["role_id"],
            "postgres_role": record["postgres_role"],
            "identity_type": "USER",
        }
