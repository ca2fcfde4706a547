"""`/api/2.0/database`: Lakebase provisioned, as much of it as a deployment needs."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.local.access_lists import AccessLists
from metamcp_deploy.local.api.authorization import INSTANCES
from metamcp_deploy.local.api.errors import ApiError, denied, invalid
from metamcp_deploy.local.api.requests import Call, flag, page
from metamcp_deploy.local.api.routes import Right, Route
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.lakebase import specs
from metamcp_deploy.local.lakebase.autoscaling import check_id
from metamcp_deploy.local.lakebase.doors import of_instance
from metamcp_deploy.local.lakebase.provisioned import BILLED
from metamcp_deploy.local.timing import stamp

_ROOT = "/api/2.0/database"
_CHANGED = frozenset({"capacity", "stopped", *BILLED})
_UNUSED = frozenset(
    {
        *("enable_pg_native_login", "enable_readable_secondaries", "node_count", "parent_instance_ref"),
        *("purge_on_delete", "retention_window_in_days", *BILLED),
    }
)
_ONE = f"{_ROOT}/instances/{{name}}"


class Database:
    """HTTP in front of Instances."""

    def __init__(self, context: Context, lists: AccessLists) -> None:
        self.instances = context.instances
        self.doors = context.doors
        self.apps = context.store.family("apps")
        self.ttl = context.options.token_ttl
        self.makes = context.options.instances
        self.lists = lists

    def routes(self) -> list[Route]:
        """The table of this family."""
        manage = Right(INSTANCES, "CAN_MANAGE")
        return [
            Route("POST", f"{_ROOT}/credentials", self._credential, apps=True),
            Route("POST", f"{_ROOT}/instances", self._create),
            Route("GET", f"{_ROOT}/instances", self._list, apps=True),
            Route("GET", _ONE, self._get, apps=True),
            Route("PATCH", _ONE, self._change, manage),
            Route("DELETE", _ONE, self._delete, manage),
        ]

    def _credential(self, call: Call) -> dict[str, Any]:
        """A Postgres password; an app's principal can have one only for an instance that it has a resource of."""
        names = call.data.get("instance_names")
        if not isinstance(names, list) or not names:
            raise invalid("Missing required field: instance_names")
        call.field("request_id")
        principal = call.principal
        for name in map(str, names):
            self.instances.record(name)
            if principal.app and name not in self._attached(principal.app):
                raise denied(f"{principal.display_name} has no access to database instance {name}.")
        places = [of_instance(str(name)) for name in names]
        issued = self.instances.lakebase.issue_credential(principal.name, self.ttl, places)
        return {"token": issued.token.reveal(), "expiration_time": stamp(issued.expires_at)}

    def _attached(self, app: str) -> set[str]:
        resources = self.apps[app]["spec"].get("resources") or []
        return {r["database"]["instance_name"] for r in resources if "database" in r}

    def _create(self, call: Call) -> dict[str, Any]:
        name, by = check_id(call.field("name")), call.principal.name
        if not self.makes:
            # Since March 2026 (docs.databricks.com, oltp/upgrade-to-autoscaling); the words are ours.
            text = "New provisioned database instances can no longer be created; create a Lakebase project."
            raise ApiError(400, "FEATURE_DISABLED", text)
        more = {k: call.data[k] for k in BILLED if k in call.data}
        specs.check_tags(more.get("custom_tags", []))
        made = self.instances.create(name, call.field("capacity", "CU_1"), by, more)
        self.lists.made(INSTANCES, name, by)
        return self.instances.shown(made)

    def _list(self, call: Call) -> dict[str, Any]:
        shown = [self.instances.shown(r) for r in self.instances.records.values()]
        return page(shown, call.query, "database_instances")

    async def _get(self, call: Call) -> dict[str, Any]:
        await self.doors.keep()  # an instance that was just made has its port by then
        return self.instances.shown(self.instances.record(call["name"]))

    def _change(self, call: Call) -> dict[str, Any]:
        name, data = call["name"], call.data
        self.instances.record(name)
        mask = {m.strip() for m in call.query.get("update_mask", "").split(",") if m.strip()}
        if "*" in mask:  # the official command line's: all that the request names
            mask = set(data) & _CHANGED
        mask -= _UNUSED - set(data)  # Terraform's names every field, also those that it does not send
        if not mask or mask - _CHANGED:
            raise invalid(f"The embedded workspace changes nothing but {', '.join(sorted(_CHANGED))}.")
        capacity = call.field("capacity") if "capacity" in mask else None
        stopped = flag(data.get("stopped")) if "stopped" in mask else None
        more = {k: data.get(k) for k in BILLED if k in mask}
        specs.check_tags(more.get("custom_tags") or [])
        return self.instances.shown(
            self.instances.change(name, capacity=capacity, stopped=stopped, more=more)
        )

    async def _delete(self, call: Call) -> dict[str, Any]:
        name = call["name"]
        self.instances.record(name)
        if not flag(call.query.get("purge")):
            raise invalid("Deleting a database instance deletes its data: it needs purge=true.")
        await self.instances.delete(name)
        return {}
