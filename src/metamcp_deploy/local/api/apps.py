"""`/api/2.0/apps`: apps and their deployments."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.local.api.authorization import APPS, Authorization
from metamcp_deploy.local.api.errors import ApiError, invalid, missing
from metamcp_deploy.local.api.requests import Call, flag, page
from metamcp_deploy.local.api.routes import Right, Route
from metamcp_deploy.local.apps import deployment
from metamcp_deploy.local.apps.apps import Apps
from metamcp_deploy.local.apps.fields import (
    AT_CREATION,
    DEFAULT_SCOPES,
    MASKABLE,
    SETTABLE,
    check_deployment,
    settable,
)
from metamcp_deploy.local.faults.fault import UNMASKED, UNSIZED

_ROOT = "/api/2.0/apps"


class AppsApi:
    """HTTP in front of Apps."""

    def __init__(self, apps: Apps, access: Authorization) -> None:
        self.apps = apps
        self.access = access

    def routes(self) -> list[Route]:
        """The table of this family."""
        one = f"{_ROOT}/{{name}}"
        use, manage = Right(APPS, "CAN_USE"), Right(APPS, "CAN_MANAGE")
        return [
            Route("POST", _ROOT, self._create),
            Route("GET", _ROOT, self._list),
            Route("GET", one, self._get, use, apps=True),
            Route("PATCH", one, self._replace, manage),
            Route("DELETE", one, self._delete, manage),
            Route("POST", f"{one}/update", self._update, manage),
            Route("GET", f"{one}/update", self._last_update, use),
            Route("POST", f"{one}/start", self._start, manage),
            Route("POST", f"{one}/stop", self._stop, manage),
            Route("POST", f"{one}/deployments", self._deploy, manage),
            Route("GET", f"{one}/deployments", self._deployments, use),
            Route("GET", f"{one}/deployments/{{id}}", self._deployment, use),
        ]

    def shown(self, name: str) -> dict[str, Any]:
        """An app as GET gives it."""
        record = self.apps.record(name)
        principal, hosted = record["principal"], self.apps.hosted[name]
        state, message = hosted.state
        result = {
            **{k: record[k] for k in ("name", "id", "creator", "updater", "create_time", "update_time")},
            "description": "",
            "compute_size": "MEDIUM",
            **record["spec"],
            **{f"effective_{k}": v for k, v in record["spec"].items() if k.endswith("_policy_id")},
            "effective_user_api_scopes": [*DEFAULT_SCOPES, *(record["spec"].get("user_api_scopes") or [])],
            "url": self.apps.url(name),
            "compute_status": {
                "state": record["compute"],
                "message": f"App compute is {record['compute'].lower()}.",
            },
            "app_status": {"state": state, "message": message},
            "service_principal_client_id": principal["client_id"],
            "service_principal_id": principal["id"],
            "service_principal_name": principal["name"],
        }
        for key in ("active", "pending"):
            if made := record["deployments"].get(record.get(key)):
                result[f"{key}_deployment"] = _deployment(made)
        if hosted.restarting and (made := record["deployments"].get(record.get("last"))):
            status = {"state": "IN_PROGRESS", "message": "Starting app."}
            # The official command line waits for this after a start; unsure.
            result["active_deployment"] = _deployment(made) | {"status": status}
        if made := record["deployments"].get(record.get("last")):
            result["default_source_code_path"] = made["source_code_path"]
        return result

    def _name(self, call: Call) -> str:
        name = call["name"]
        self.apps.record(name)
        return name

    async def _create(self, call: Call) -> dict[str, Any]:
        creator = call.principal
        self.access.check_attaching(creator, call.data)
        compute = not flag(call.query.get("no_compute"))
        record = await self.apps.create(call.data, compute=compute, creator=creator.name)
        return self.shown(record["name"])

    def _list(self, call: Call) -> dict[str, Any]:
        return page([self.shown(name) for name in sorted(self.apps.records)], call.query, "apps")

    def _get(self, call: Call) -> dict[str, Any]:
        return self.shown(self._name(call))

    async def _replace(self, call: Call) -> dict[str, Any]:
        """PATCH replaces everything and clears what it does not name: the platform's quirk, and a trap."""
        self.access.check_attaching(call.principal, call.data)
        name = self._name(call)
        if call.request.get("quirk") == UNSIZED and "compute_size" in call.data:
            raise invalid("compute_size cannot be updated through this endpoint.")  # the words are a guess
        kept = {k: v for k, v in self.apps.record(name)["spec"].items() if k in AT_CREATION}
        await self.apps.update(name, {**settable(call.data), **kept}, call.principal.name)
        return self.shown(name)

    async def _update(self, call: Call) -> dict[str, Any]:
        """Changes what `update_mask` names and leaves the rest."""
        data = call.data
        self.access.check_attaching(call.principal, data.get("app") or data)
        name = self._name(call)
        mask = call.field("update_mask")
        fields = SETTABLE if mask == "*" else [f.strip() for f in mask.split(",")]
        if unknown := [f for f in fields if f not in MASKABLE]:
            raise invalid(f"update_mask names {', '.join(unknown)}, which cannot be changed")
        if name in self.apps.updating:
            raise ApiError(409, "RESOURCE_CONFLICT", f"An update of app {name} is in progress.")  # unsure
        wanted = settable(data.get("app") or {})
        spec = dict(self.apps.record(name)["spec"])
        if call.request.get("quirk") == UNMASKED:
            fields = SETTABLE
        for field in fields:
            spec.pop(field, None)
            if field in wanted:
                spec[field] = wanted[field]
        self.apps.updating.add(name)
        try:
            await self.apps.update(name, spec, call.principal.name)
        except BaseException:
            self.apps.updating.discard(name)
            raise
        record = self.apps.record(name)
        record["update"] = spec | {"status": {"state": "IN_PROGRESS", "message": "Update is in progress."}}
        begun = dict(record["update"])
        self.apps.tasks.start(self.apps.updated(name))
        return begun

    def _last_update(self, call: Call) -> dict[str, Any]:
        update: dict[str, Any] | None = self.apps.record(self._name(call)).get("update")
        if update is None:
            raise missing(f"App {call['name']} has no update.")
        return update

    def _delete(self, call: Call) -> dict[str, Any]:
        name = self._name(call)
        self.apps.delete(name)
        return self.shown(name)

    def _start(self, call: Call) -> dict[str, Any]:
        name = self._name(call)
        self.apps.start(name)
        return self.shown(name)

    def _stop(self, call: Call) -> dict[str, Any]:
        name = self._name(call)
        self.apps.stop(name)
        return self.shown(name)

    def _deploy(self, call: Call) -> dict[str, Any]:
        name, data = self._name(call), call.data
        call.field("source_code_path")
        check_deployment(data)
        hosted = self.apps.hosted[name]
        made = hosted.accept(data, call.principal.name)
        self.apps.tasks.start(hosted.deploy(made["deployment_id"]))
        return _deployment(made)

    def _deployments(self, call: Call) -> dict[str, Any]:
        record = self.apps.record(self._name(call))
        newest = [_deployment(d) for d in reversed(record["deployments"].values())]
        return page(newest, call.query, "app_deployments")

    def _deployment(self, call: Call) -> dict[str, Any]:
        record = self.apps.record(self._name(call))
        made = record["deployments"].get(call["id"])
        if made is None:
            raise missing(f"Deployment {call['id']} of app {record['name']} does not exist.")
        return _deployment(made)


def _deployment(made: dict[str, Any]) -> dict[str, Any]:
    """A deployment as GET gives it: values of its environment are stripped."""
    result = {k: v for k, v in made.items() if v and k != "env_vars"}
    if made["env_vars"]:
        result["env_vars"] = [{k: v for k, v in e.items() if k != "value"} for e in made["env_vars"]]
    return result | {"deployment_artifacts": {"source_code_path": deployment.artifacts(made)}}
