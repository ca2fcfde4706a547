"""What people who are no administrators may do: which call needs which level on what, as a table.

Sources: docs.databricks.com, "Access control lists" (folders), "Manage project permissions" (Lakebase), "Secret
management" (scopes), "Configure permissions" and "Add resources" (apps). Everybody may make apps, scopes, projects and
instances, and manages what they made. Unsure, so the stricter: who may read an access list (here: who may change it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from metamcp_deploy.local.access_lists import EVERYBODY, AccessLists, holder
from metamcp_deploy.local.answers import denied
from metamcp_deploy.local.identity import Principal
from metamcp_deploy.local.store import Store

_RANKS = {
    **{"CAN_READ": 1, "CAN_RUN": 2, "CAN_EDIT": 3, "CAN_USE": 1, "CAN_MANAGE": 8, "IS_OWNER": 9},
    **{"READ": 1, "WRITE": 2, "MANAGE": 8},
}
PATHS, SCOPES, APPS = "directories", "scopes", "apps"


@dataclass(frozen=True)
class Rule:
    """A call (`METHOD path`, matched whole) and what it needs; the thing is the group `id`, or in query or body."""

    call: str
    kind: str
    level: str


_API = "/api/2.0/"
RULES = tuple(
    Rule(call.replace("~", re.escape(_API)), kind, level)
    for call, kind, level in (
        (r"GET ~apps/(?P<id>[^/]+)(/.*)?", APPS, "CAN_USE"),
        (r"(POST|PATCH|DELETE) ~apps/(?P<id>[^/]+)(/.*)?", APPS, "CAN_MANAGE"),
        (r"\w+ ~permissions/(?P<kind>[^/]+)/(?P<id>[^/]+)", "", "CAN_MANAGE"),
        (r"(POST|PATCH|DELETE) ~postgres/projects/(?P<id>[^/]+)(/.*)?", "database-projects", "CAN_MANAGE"),
        (r"(PATCH|DELETE) ~database/instances/(?P<id>[^/]+)", "database-instances", "CAN_MANAGE"),
        (r"GET ~secrets/(get|list)", SCOPES, "READ"),
        (r"POST ~secrets/(put|delete)", SCOPES, "WRITE"),
        (r"\w+ ~secrets/(acls/.*|scopes/delete)", SCOPES, "MANAGE"),
        (r"GET ~workspace/(get-status|list|export)", PATHS, "CAN_READ"),
        (r"POST ~workspace/(mkdirs|delete)", PATHS, "CAN_MANAGE"),
        (r"POST ~workspace-files/import-file/(?P<id>.+)", PATHS, "CAN_MANAGE"),
    )
)


def _attached(resource: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and name of what a resource of an app is attached to: whoever attaches it must manage it, too."""
    if isinstance(found := resource.get("postgres"), dict):
        return "database-projects", str(found.get("branch", "")).removeprefix("projects/").partition("/")[0]
    if isinstance(found := resource.get("database"), dict):
        return "database-instances", str(found.get("instance_name"))
    if isinstance(found := resource.get("secret"), dict):
        return SCOPES, str(found.get("scope"))
    return None


class Rights:
    """The table, applied to one workspace."""

    def __init__(self, store: Store, lists: AccessLists) -> None:
        self.store = store
        self.lists = lists

    async def check(self, principal: Principal, request: web.Request) -> None:
        """Refuses what the caller may not do.

        Raises:
            ApiError: 403.
        """
        if principal.admin:
            return
        asked = f"{request.method} {request.path}"
        for rule in RULES:
            if match := re.fullmatch(rule.call, asked):
                named = match.groupdict()
                thing = named.get("id") or await _named_in(
                    request, "scope" if rule.kind == SCOPES else "path"
                )
                if named.get("kind") == PATHS:
                    thing = self.lists.folder_of(thing)
                self.demand(principal, rule.kind or named["kind"], thing, rule.level)
        if request.method in ("POST", "PATCH") and request.path.startswith(f"{_API}apps"):
            self._attaching(principal, await _body(request))

    def demand(self, principal: Principal, kind: str, thing: str, level: str) -> None:
        """Refuses somebody who does not hold the level on the thing; what is not there is refused by others.

        Raises:
            ApiError: 403.
        """
        if principal.admin:
            return
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
        family = {"database-projects": "projects", "database-instances": "instances"}.get(kind)
        return self.lists.all(kind, thing) if family and thing in self.store.family(family) else None

    def _folder(self, path: str) -> str:
        """The nearest folder that is there, of a path or an object id."""
        files = self.lists.files
        place = files.place(path if path.startswith("/") else f"/{path}")
        while not place.is_dir() and place != files.folder:
            place = place.parent
        return files.shown(place)

    def _attaching(self, principal: Principal, data: Mapping[str, Any]) -> None:
        spec = data.get("app") or data
        known = (
            self.store.family("apps").get(str(spec.get("name")), {}).get("spec", {}).get("resources") or []
        )
        for resource in spec.get("resources") or []:
            if resource not in known and (found := _attached(resource)):
                self.demand(principal, *found, "MANAGE" if found[0] == SCOPES else "CAN_MANAGE")

    def made(self, principal: Principal, request: web.Request, response: web.Response) -> None:
        """After a call that worked: whoever made a project or an instance manages it."""
        if request.method != "POST":
            return
        if request.path == f"{_API}postgres/projects":
            self.lists.made("database-projects", request.query["project_id"], principal.name)
        elif request.path == f"{_API}database/instances":
            made = json.loads(response.text or "{}")
            self.lists.made("database-instances", str(made.get("name")), principal.name)


def _of_scope(who: str) -> str:
    """Access lists of scopes name people and groups alike."""
    return f"group_name:{who}" if who in ("users", "admins") else holder(who)


async def _body(request: web.Request) -> dict[str, Any]:
    if request.content_type.startswith("multipart/"):
        return {}
    try:
        data = json.loads(await request.read() or b"{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


async def _named_in(request: web.Request, key: str) -> str:
    return str(request.query.get(key) or (await _body(request)).get(key) or "")
