"""Whether a person who is no administrator may make a call: the level of its route, held on the thing that it names.

Sources: docs.databricks.com, "Access control lists" (folders), "Manage project permissions" (Lakebase), "Secret
management" (scopes), "Configure permissions" and "Add resources" (apps). Everybody may create apps, scopes, projects
and instances, and manages what they created. Unsure, so the stricter: who may read an access list (here: who may
change it).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from metamcp_deploy.local.access_lists import EVERYBODY, AccessLists, holder
from metamcp_deploy.local.api.errors import denied
from metamcp_deploy.local.api.routes import Right
from metamcp_deploy.local.identity import Principal
from metamcp_deploy.local.store import Store

_RANKS = {
    **{"CAN_READ": 1, "CAN_RUN": 2, "CAN_EDIT": 3, "CAN_USE": 1, "CAN_MANAGE": 8, "IS_OWNER": 9},
    **{"READ": 1, "WRITE": 2, "MANAGE": 8},
}
PATHS, SCOPES, APPS = "directories", "scopes", "apps"
PROJECTS, INSTANCES = "database-projects", "database-instances"


def _attached(resource: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and name of what a resource of an app is attached to: whoever attaches it must manage it, too."""
    if isinstance(found := resource.get("postgres"), dict):
        return PROJECTS, str(found.get("branch", ""))
    if isinstance(found := resource.get("database"), dict):
        return INSTANCES, str(found.get("instance_name"))
    if isinstance(found := resource.get("secret"), dict):
        return SCOPES, str(found.get("scope"))
    return None


class Authorization:
    """The access lists of one workspace, applied to calls."""

    def __init__(self, store: Store, lists: AccessLists) -> None:
        self.store = store
        self.lists = lists

    async def check(self, principal: Principal, request: web.Request, right: Right) -> None:
        """Refuses what the caller may not do.

        Raises:
            ApiError: 403.
        """
        if principal.admin:
            return
        kind = right.kind or request.match_info["kind"]
        thing = request.match_info.get(right.name) or request.query.get(right.name)
        thing = str(thing or (await _body(request)).get(right.name) or "")
        if right.kind is None and kind == PATHS:
            thing = self.lists.folder_of(thing)
        self.demand(principal, kind, thing, right.level)

    def demand(self, principal: Principal, kind: str, thing: str, level: str) -> None:
        """Refuses somebody who does not hold the level on the thing; what does not exist is refused by others.

        Args:
            principal: who calls.
            kind: of the thing.
            thing: its name; of a project also the name of what is in it.
            level: what they need.

        Raises:
            ApiError: 403.
        """
        if principal.admin:
            return
        if kind == PROJECTS:
            thing = thing.removeprefix("projects/").partition("/")[0]
        acl = self._acl(kind, thing)
        held = [acl[who] for who in (holder(principal.name), EVERYBODY) if acl and who in acl]
        if acl is not None and max((_RANKS[h] for h in held), default=0) < _RANKS[level]:
            raise denied(
                f"{principal.name} does not have {level} permission on {kind} {thing}. Please contact the owner or an "
                "administrator for access."
            )

    def _acl(self, kind: str, thing: str) -> Mapping[str, str] | None:
        if kind == APPS:
            app = self.store.family("apps").get(thing)
            return app["acl"] if app else None
        if kind == SCOPES:
            scope = self.store.family("scopes").get(thing)
            return {_of_scope(who): level for who, level in scope["acls"].items()} if scope else None
        if kind == PATHS:
            return self.lists.all(PATHS, self._folder(thing))
        family = {PROJECTS: "projects", INSTANCES: "instances"}.get(kind)
        return self.lists.all(kind, thing) if family and thing in self.store.family(family) else None

    def _folder(self, path: str) -> str:
        """The nearest folder that exists, of a path."""
        files = self.lists.files
        place = files.place(path if path.startswith("/") else f"/{path}")
        while not place.is_dir() and place != files.folder:
            place = place.parent
        return files.shown(place)

    def check_attaching(self, principal: Principal, spec: Mapping[str, Any]) -> None:
        """Refuses to attach what the caller does not manage to an app; what is attached already stays.

        Raises:
            ApiError: 403.
        """
        if principal.admin:
            return
        app = self.store.family("apps").get(str(spec.get("name")), {})
        known = app.get("spec", {}).get("resources") or []
        for resource in spec.get("resources") or []:
            if resource not in known and (found := _attached(resource)):
                self.demand(principal, *found, "MANAGE" if found[0] == SCOPES else "CAN_MANAGE")


def _of_scope(who: str) -> str:
    """Access lists of scopes name people and groups alike."""
    return f"group_name:{who}" if who in ("users", "admins") else holder(who)


async def _body(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request, empty for any other: its handler refuses that."""
    if request.content_type.startswith("multipart/"):
        return {}
    try:
        data = json.loads(await request.read() or b"{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
