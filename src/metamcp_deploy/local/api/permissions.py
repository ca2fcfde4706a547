"""`/api/2.0/permissions`: access lists of apps, folders, Lakebase projects and database instances."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.local.access_lists import GRANTABLE, AccessLists, entries, holder, shown
from metamcp_deploy.local.api.authorization import APPS
from metamcp_deploy.local.api.errors import missing
from metamcp_deploy.local.api.requests import Call
from metamcp_deploy.local.api.routes import Right, Route
from metamcp_deploy.local.apps.apps import Apps
from metamcp_deploy.local.directory import Directory
from metamcp_deploy.local.options import USER

_ROOT = "/api/2.0/permissions"
_APP_LEVELS = {"CAN_USE": "Can use the app", "CAN_MANAGE": "Can manage the app"}


class Permissions:
    """HTTP in front of AccessLists, and of the lists that apps keep."""

    def __init__(self, lists: AccessLists, apps: Apps, directory: Directory) -> None:
        self.lists = lists
        self.directory = directory
        self.apps = apps

    def routes(self) -> list[Route]:
        """The table of this family."""
        app, one = f"{_ROOT}/apps/{{name}}", f"{_ROOT}/{{kind:{'|'.join(GRANTABLE)}}}/{{id}}"
        of_app, of_one = Right(APPS, "CAN_MANAGE"), Right(None, "CAN_MANAGE", "id")
        return [
            Route("GET", app, self._get_of_app, of_app),
            Route("PUT", app, self._change_of_app, of_app),
            Route("PATCH", app, self._change_of_app, of_app),
            Route("GET", f"{app}/permissionLevels", self._levels_of_app),
            Route("GET", one, self._get, of_one),
            Route("PUT", one, self._change, of_one),
            Route("PATCH", one, self._change, of_one),
            Route("GET", f"{one}/permissionLevels", self._levels),
        ]

    def _get_of_app(self, call: Call) -> dict[str, Any]:
        name = call["name"]
        listed = [
            shown(who, [{"permission_level": level, "inherited": False}])
            for who, level in self.apps.record(name)["acl"].items()
        ]
        return {"object_id": f"/apps/{name}", "object_type": "apps", "access_control_list": listed}

    def _change_of_app(self, call: Call) -> dict[str, Any]:
        """PATCH adds; PUT replaces, save that the creator keeps CAN_MANAGE."""
        record = self.apps.record(call["name"])
        given = entries(call.data, tuple(_APP_LEVELS))
        self.directory.check(given)
        replaced = call.request.method == "PUT"
        record["acl"] = ({holder(record["creator"]): "CAN_MANAGE"} if replaced else record["acl"]) | given
        self.apps.context.store.save()
        return self._get_of_app(call)

    def _levels_of_app(self, call: Call) -> dict[str, Any]:
        self.apps.record(call["name"])
        levels = [{"permission_level": k, "description": v} for k, v in _APP_LEVELS.items()]
        return {"permission_levels": levels}

    def _named(self, call: Call) -> tuple[str, str]:
        """Kind and name of what a request is about.

        Raises:
            ApiError: 404.
        """
        kind, given = call["kind"], call["id"]
        if kind == "directories":
            return kind, self.lists.folder_of(given)
        family = "projects" if kind == "database-projects" else "instances"
        if given not in self.lists.store.family(family):
            raise missing(f"{kind} {given} does not exist.")
        return kind, given

    def _get(self, call: Call) -> dict[str, Any]:
        return self._shown(*self._named(call), call["id"])

    def _change(self, call: Call) -> dict[str, Any]:
        kind, name = self._named(call)
        given = entries(call.data, GRANTABLE[kind])
        self.directory.check(given)
        self.lists.change(kind, name, given, replace=call.request.method == "PUT")
        return self._shown(kind, name, call["id"])

    def _levels(self, call: Call) -> dict[str, Any]:
        kind, _ = self._named(call)
        return {"permission_levels": [{"permission_level": level} for level in GRANTABLE[kind]]}

    def _shown(self, kind: str, name: str, object_id: str) -> dict[str, Any]:
        by_holder: dict[str, list[dict[str, Any]]] = {}
        own = (
            self.lists.folder(name)
            if kind == "directories"
            else self.lists.own(kind, name) or {holder(USER): "CAN_MANAGE"}
        )
        for who, level in own.items():
            by_holder.setdefault(who, []).append({"permission_level": level, "inherited": False})
        for whence, granted in self.lists.inherited(kind, name):
            for who, level in granted.items():
                inherited = {"permission_level": level, "inherited": True, "inherited_from_object": [whence]}
                by_holder.setdefault(who, []).append(inherited)
        return {
            "object_id": f"/{kind}/{object_id}",
            "object_type": {"directories": "directory"}.get(kind, kind.removesuffix("s")),
            "access_control_list": [shown(who, levels) for who, levels in by_holder.items()],
        }
