"""Routes of Databricks Apps and of the permissions on them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from metamcp_deploy.local import access_lists
from metamcp_deploy.local.access_lists import holder
from metamcp_deploy.local.answers import ApiError, answer, body, flag, invalid, missing, page, text
from metamcp_deploy.local.apps.apps import Apps
from metamcp_deploy.local.apps.fields import DEFAULT_SCOPES, SETTABLE, check_deployment, settable
from metamcp_deploy.local.identity import Principal

_LEVELS = {"CAN_USE": "Can use the app", "CAN_MANAGE": "Can manage the app"}


class AppsApi:
    """HTTP in front of Apps."""

    def __init__(self, apps: Apps) -> None:
        self.apps = apps

    def routes(self) -> list[web.RouteDef]:
        """All of the family."""
        one = "/api/2.0/apps/{name}"
        permissions = "/api/2.0/permissions/apps/{name}"
        return [
            web.post("/api/2.0/apps", self._create),
            web.get("/api/2.0/apps", self._list),
            web.get(one, self._get),
            web.patch(one, self._replace),
            web.delete(one, self._delete),
            web.post(f"{one}/update", self._update),
            web.get(f"{one}/update", self._last_update),
            web.post("/local/apps/{name}/broken", self._break),
            web.post(f"{one}/start", self._start),
            web.post(f"{one}/stop", self._stop),
            web.post(f"{one}/deployments", self._deploy),
            web.get(f"{one}/deployments", self._deployments),
            web.get(f"{one}/deployments/{{id}}", self._deployment),
            web.get(permissions, self._permissions),
            web.put(permissions, self._set_permissions),
            web.patch(permissions, self._add_permissions),
            web.get(f"{permissions}/permissionLevels", self._levels),
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

    def _name(self, request: web.Request) -> str:
        name = request.match_info["name"]
        self.apps.record(name)
        return name

    async def _create(self, request: web.Request) -> web.Response:
        data = await body(request)
        creator: Principal = request["principal"]
        compute = not flag(request.query.get("no_compute"))
        record = await self.apps.create(data, compute=compute, creator=creator.name)
        return answer(self.shown(record["name"]))

    async def _list(self, request: web.Request) -> web.Response:
        return answer(page([self.shown(name) for name in sorted(self.apps.records)], request.query, "apps"))

    async def _get(self, request: web.Request) -> web.Response:
        return answer(self.shown(self._name(request)))

    async def _replace(self, request: web.Request) -> web.Response:
        """PATCH replaces everything and clears what it does not name: the platform's quirk, and a trap."""
        name, data = self._name(request), await body(request)
        await self.apps.update(name, settable(data), request["principal"].name)
        return answer(self.shown(name))

    async def _update(self, request: web.Request) -> web.Response:
        """Changes what `update_mask` names and leaves the rest."""
        name, data = self._name(request), await body(request)
        mask = text(data, "update_mask")
        fields = SETTABLE if mask == "*" else mask.split(",")
        if unknown := [f for f in fields if f not in SETTABLE]:
            raise invalid(f"update_mask names {', '.join(unknown)}, which cannot be changed")
        if name in self.apps.updating:
            raise ApiError(409, "RESOURCE_CONFLICT", f"An update of app {name} is in progress.")  # unsure
        wanted = settable(data.get("app") or {})
        spec = dict(self.apps.record(name)["spec"])
        for field in fields:
            spec.pop(field, None)
            if field in wanted:
                spec[field] = wanted[field]
        self.apps.updating.add(name)
        try:
            await self.apps.update(name, spec, request["principal"].name)
        except BaseException:
            self.apps.updating.discard(name)
            raise
        record = self.apps.record(name)
        record["update"] = spec | {"status": {"state": "IN_PROGRESS", "message": "Update is in progress."}}
        begun = answer(record["update"])
        self.apps.background(self.apps.updated(name))
        return begun

    async def _last_update(self, request: web.Request) -> web.Response:
        update = self.apps.record(self._name(request)).get("update")
        if update is None:
            raise missing(f"App {request.match_info['name']} has no update.")
        return answer(update)

    async def _delete(self, request: web.Request) -> web.Response:
        name = self._name(request)
        self.apps.delete(name)
        return answer(self.shown(name))

    async def _break(self, request: web.Request) -> web.Response:
        """Not part of the platform: puts the compute in ERROR, as after a create that failed there."""
        name = self._name(request)
        await self.apps.broken(name)
        return answer(self.shown(name))

    async def _start(self, request: web.Request) -> web.Response:
        name = self._name(request)
        self.apps.start(name)
        return answer(self.shown(name))

    async def _stop(self, request: web.Request) -> web.Response:
        name = self._name(request)
        self.apps.stop(name)
        return answer(self.shown(name))

    async def _deploy(self, request: web.Request) -> web.Response:
        name, data = self._name(request), await body(request)
        text(data, "source_code_path")
        check_deployment(data)
        hosted = self.apps.hosted[name]
        made = hosted.accept(data, request["principal"].name)
        self.apps.background(hosted.deploy(made["deployment_id"]))
        return answer(_deployment(made))

    async def _deployments(self, request: web.Request) -> web.Response:
        record = self.apps.record(self._name(request))
        newest = [_deployment(d) for d in reversed(record["deployments"].values())]
        return answer(page(newest, request.query, "app_deployments"))

    async def _deployment(self, request: web.Request) -> web.Response:
        record = self.apps.record(self._name(request))
        made = record["deployments"].get(request.match_info["id"])
        if made is None:
            raise missing(f"Deployment {request.match_info['id']} of app {record['name']} does not exist.")
        return answer(_deployment(made))

    def _acl(self, name: str) -> dict[str, Any]:
        entries = [
            access_lists.shown(who, [{"permission_level": level, "inherited": False}])
            for who, level in self.apps.record(name)["acl"].items()
        ]
        return {"object_id": f"/apps/{name}", "object_type": "apps", "access_control_list": entries}

    async def _permissions(self, request: web.Request) -> web.Response:
        return answer(self._acl(self._name(request)))

    async def _set_permissions(self, request: web.Request) -> web.Response:
        """PUT: the given list and nothing else, save that the creator keeps CAN_MANAGE."""
        name = self._name(request)
        record = self.apps.record(name)
        record["acl"] = {holder(record["creator"]): "CAN_MANAGE"} | access_lists.entries(
            await body(request), tuple(_LEVELS)
        )
        self.apps.site.store.save()
        return answer(self._acl(name))

    async def _add_permissions(self, request: web.Request) -> web.Response:
        """PATCH: the given entries on top of what is there."""
        name = self._name(request)
        self.apps.record(name)["acl"].update(access_lists.entries(await body(request), tuple(_LEVELS)))
        self.apps.site.store.save()
        return answer(self._acl(name))

    async def _levels(self, request: web.Request) -> web.Response:
        self._name(request)
        levels = [{"permission_level": k, "description": v} for k, v in _LEVELS.items()]
        return answer({"permission_levels": levels})


def _deployment(made: dict[str, Any]) -> dict[str, Any]:
    """A deployment as GET gives it: values of its environment are stripped."""
    result = {k: v for k, v in made.items() if v and k != "env_vars"}
    if made["env_vars"]:
        result["env_vars"] = [{k: v for k, v in e.items() if k != "value"} for e in made["env_vars"]]
    artifacts = f"/Workspace/Users/{made['creator']}/.apps/{made['deployment_id']}"
    return result | {"deployment_artifacts": {"source_code_path": artifacts}}
