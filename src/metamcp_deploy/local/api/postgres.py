"""`/api/2.0/postgres`: Lakebase autoscaling. What changes something returns an operation to poll."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from metamcp_deploy.local.access_lists import AccessLists
from metamcp_deploy.local.api.authorization import PROJECTS
from metamcp_deploy.local.api.errors import ApiError, denied, invalid, not_found
from metamcp_deploy.local.api.requests import Call, flag, page
from metamcp_deploy.local.api.routes import Right, Route
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.lakebase import branches, rules, specs
from metamcp_deploy.local.lakebase.autoscaling import SHORTEST_ID, check_id
from metamcp_deploy.local.lakebase.operations import Operations
from metamcp_deploy.local.lakebase.views import shown, shown_deleted
from metamcp_deploy.local.timing import stamp

_MOST_BRANCHES = 10  # unarchived ones of a project; unsure
_SHORTEST_TTL = 300.0
_KINDS = {"projects": 1, "branches": 1, "endpoints": 1, "databases": SHORTEST_ID, "roles": SHORTEST_ID}


class Postgres:
    """HTTP in front of Databases."""

    def __init__(self, context: Context, lists: AccessLists) -> None:
        self.databases = context.databases
        self.doors = context.doors
        self.ttl = context.options.token_ttl
        self.operations = Operations(context.timing)
        self.lists = lists

    def routes(self) -> list[Route]:
        """The table of this family; names of resources contain slashes."""
        root, name = "/api/2.0/postgres", "{name:projects/.+}"
        kinds = "{kind:branches|endpoints|databases|roles}"
        below, manage = Right(PROJECTS, "CAN_MANAGE", "parent"), Right(PROJECTS, "CAN_MANAGE")
        return [
            Route("POST", f"{root}/credentials", self._credential, apps=True),
            Route("POST", root + "/{kind:projects}", self._create),
            Route("GET", root + "/{kind:projects}", self._list, apps=True),
            Route("GET", root + "/{name:projects/.+/operations/[^/]+}", self._operation, apps=True),
            Route("POST", f"{root}/{{parent:projects/.+}}/{kinds}", self._create, below),
            Route("GET", f"{root}/{{parent:projects/.+}}/{kinds}", self._list, apps=True),
            Route("POST", root + "/{name:projects/[^/]+}/undelete", self._undelete, manage),
            Route("GET", f"{root}/{name}", self._get, apps=True),
            Route("PATCH", f"{root}/{name}", self._update, manage),
            Route("DELETE", f"{root}/{name}", self._delete, manage),
        ]

    def _credential(self, call: Call) -> dict[str, Any]:
        """A Postgres password for whoever asks; an app's principal can have one only where it has a resource."""
        endpoint = call.field("endpoint")
        if not re.fullmatch(r"projects/[^/]+/branches/[^/]+/endpoints/[^/]+", endpoint):
            raise invalid("endpoint must be projects/{project}/branches/{branch}/endpoints/{endpoint}")
        self.databases.resource(endpoint)
        principal = call.principal
        if principal.app and not self._attached(principal.app, endpoint):
            raise denied(f"{principal.display_name} has no access to {endpoint}.")
        ttl = self._lifetime(call.data)
        issued = self.databases.lakebase.issue_credential(principal.name, ttl, [endpoint])
        return {"token": issued.token.reveal(), "expire_time": stamp(issued.expires_at)}

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

    def _create(self, call: Call) -> dict[str, Any]:
        kind = call["kind"]
        parent = call.request.match_info.get("parent", "")
        identifier = _identifier(kind, call)
        name = f"{parent}/{kind}/{identifier}".lstrip("/")
        siblings = self._siblings(parent, kind)
        if name in self.operations.under_way:
            raise exists(f"{_singular(kind)} {name} is being created or deleted")
        spec = specs.checked(kind, call.data.get("spec") or {})
        first = specs.first_endpoint(call.data.get("initial_endpoint_spec"))
        if kind == "projects" and identifier in self.databases.deleted:
            raise _taken(kind)
        if identifier not in siblings:
            operation = self._made(kind, parent, identifier, spec, first)
        elif flag(call.query.get("replace_existing")):
            rules.update(self.databases, name, spec, "spec")
            operation = self._changed(name)
        else:
            raise _taken(kind)
        if kind == "projects":
            self.lists.made(PROJECTS, identifier, call.principal.name)
        return operation

    def _made(
        self, kind: str, parent: str, identifier: str, spec: dict[str, Any], first: dict[str, Any]
    ) -> dict[str, Any]:
        """The operation that makes a resource, after what can be refused at once was refused."""
        databases, name = self.databases, f"{parent}/{kind}/{identifier}".lstrip("/")
        if kind == "roles":
            rules.check_role(databases, parent, spec)
        if kind in ("endpoints", "roles") and "identity_type" not in spec:
            make = databases.create_endpoint if kind == "endpoints" else databases.create_role
            made = shown(databases, make(parent, identifier, spec))
            return self.operations.settle(name, f"lakebase.{kind}", made)
        work = self._work(kind, parent, identifier, spec, first)

        async def made_later() -> dict[str, Any]:
            return shown(databases, await work())

        return self.operations.begin(name, f"lakebase.{kind}", made_later)

    def _work(
        self, kind: str, parent: str, identifier: str, spec: dict[str, Any], first: dict[str, Any]
    ) -> Callable[[], Awaitable[str]]:
        databases = self.databases
        if kind == "projects":
            return lambda: databases.create_project(identifier, spec, first)
        if kind == "roles":
            return lambda: databases.create_login(parent, identifier, spec)
        if kind == "databases":
            rules.check_database(databases, parent, spec)
            return lambda: databases.create_database(parent, identifier, spec)
        asked = branches.wanted(databases, parent, spec, time.time())
        if len(databases.resource(parent)["branches"]) >= _MOST_BRANCHES:
            message = f"A project holds at most {_MOST_BRANCHES} branches."
            raise ApiError(400, "RESOURCE_LIMIT_EXCEEDED", message)
        return lambda: branches.create(databases, f"{parent}/branches/{identifier}", asked)

    async def _update(self, call: Call) -> dict[str, Any]:
        """PATCH changes what `update_mask` names: `spec`, or paths in it."""
        name = call["name"]
        self._not_reconciling(name)
        spec = call.data.get("spec")
        rules.update(self.databases, name, spec, call.query.get("update_mask", ""))
        if "/endpoints/" in name:
            await self.doors.keep()  # it may have been disabled, or enabled
        return self._changed(name)

    def _changed(self, name: str) -> dict[str, Any]:
        if "/endpoints/" in name:
            self.operations.reconcile(name)
        return self.operations.settle(name, "lakebase.update", shown(self.databases, name))

    def _siblings(self, parent: str, kind: str) -> dict[str, Any]:
        siblings: dict[str, Any] = (
            self.databases.resource(parent)[kind] if parent else self.databases.projects
        )
        return siblings

    def _operation(self, call: Call) -> dict[str, Any]:
        return self.operations.get(call["name"])

    async def _get(self, call: Call) -> dict[str, Any]:
        await self.doors.keep()  # an endpoint that was just made has its port by then
        found = shown(self.databases, call["name"])
        if call["name"] in self.operations.reconciling:
            found["status"]["pending_state"] = "ACTIVE"
        return found

    def _list(self, call: Call) -> dict[str, Any]:
        kind, parent = call["kind"], call.request.match_info.get("parent", "")
        listed = [shown(self.databases, r["name"]) for r in self._siblings(parent, kind).values()]
        if kind == "projects" and flag(call.query.get("show_deleted")):
            listed += [shown_deleted(record) for record in self.databases.deleted.values()]
        return page(listed, call.query, kind)

    def _delete(self, call: Call) -> dict[str, Any]:
        name, purge = call["name"], flag(call.query.get("purge"))
        if not (purge and name.removeprefix("projects/") in self.databases.deleted):
            rules.check_delete(self.databases, name, call.query.get("reassign_owned_to"))
        self._not_reconciling(name)
        # Answered first: to drop a large database, and end its connections, may take longer than clients wait.
        return self.operations.begin(name, "lakebase.delete", lambda: self._deleted(name, purge))

    async def _deleted(self, name: str, purge: bool) -> dict[str, Any]:
        await self.databases.delete(name, purge=purge, now=time.time())
        return {}

    def _undelete(self, call: Call) -> dict[str, Any]:
        name = call["name"]
        if name.removeprefix("projects/") not in self.databases.deleted:
            raise not_found(f"project id not found: {name}")

        async def back() -> dict[str, Any]:
            await self.databases.undelete(name)
            return shown(self.databases, name)

        return self.operations.begin(name, "lakebase.projects", back)

    def _not_reconciling(self, name: str) -> None:
        if name in self.operations.reconciling:
            # The word is what the official command line looks for; the error code is a guess.
            raise ApiError(409, "ABORTED", f"Endpoint reconciliation still in progress: {name}")


def _singular(kind: str) -> str:
    return "branch" if kind == "branches" else kind[:-1]


def _identifier(kind: str, call: Call) -> str:
    """The id that the request names; of databases and roles one is made up without, which breaks paths that name it."""
    singular = _singular(kind)
    given = call.query.get(f"{singular}_id", "")
    if not given and kind in ("databases", "roles"):
        given = f"{singular}-{uuid.uuid4().hex[:12]}"
    if not given:
        raise invalid(f"Field '{singular}_id' is required, expected non-default value (not \"\")!")
    return check_id(given, _KINDS[kind])


def _taken(kind: str) -> ApiError:
    """A name that is there: 409, but 400 for databases and roles."""
    if kind in ("databases", "roles"):
        return ApiError(400, "BAD_REQUEST", f"{_singular(kind)} with that name already exists")
    where = " in the workspace" if kind == "projects" else ""
    return exists(f"{_singular(kind)} with such id already exists{where}")


def exists(message: str) -> ApiError:
    """409 as this family spells it."""
    return ApiError(409, "ALREADY_EXISTS", message)
