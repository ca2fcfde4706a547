"""Access lists of folders, Lakebase projects and database instances, and their routes: `permissions/{kind}/{id}`.

Those of apps and secret scopes are kept with these.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from metamcp_deploy.local.answers import answer, body, invalid, missing
from metamcp_deploy.local.files import Files
from metamcp_deploy.local.identity import USER
from metamcp_deploy.local.store import Store

# What can be granted, the weakest first. CAN_CREATE on projects is inherited by everybody and never granted
# (docs.databricks.com, "Grant permissions programmatically").
GRANTABLE = {
    "directories": ("CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE"),
    "database-projects": ("CAN_USE", "CAN_MANAGE"),
    "database-instances": ("CAN_USE", "CAN_MANAGE"),
}
HOLDERS = ("user_name", "group_name", "service_principal_name")
EVERYBODY, ADMINS = "group_name:users", "group_name:admins"

Acl = dict[str, str]


class AccessLists:
    """Who holds which level, by `kind/id`; of folders by `directories/<path>`."""

    def __init__(self, store: Store, files: Files) -> None:
        self.store = store
        self.files = files
        self.lists: dict[str, Acl] = store.family("acls")

    def routes(self) -> list[web.RouteDef]:
        """Reading, adding to and replacing lists."""
        one = "/api/2.0/permissions/{kind:" + "|".join(GRANTABLE) + "}/{id}"
        return [
            web.get(one, self._get),
            web.patch(one, self._change),
            web.put(one, self._change),
            web.get(f"{one}/permissionLevels", self._levels),
        ]

    def own(self, kind: str, name: str) -> Acl:
        """What is granted on the thing itself."""
        return self.lists.get(f"{kind}/{name}", {})

    def inherited(self, kind: str, name: str) -> list[tuple[str, Acl]]:
        """What folders above grant, or the workspace: (whence, list)."""
        if kind != "directories":
            return [("/", {ADMINS: "CAN_MANAGE"})]
        parts = [p for p in name.split("/") if p]
        above = ["/" + "/".join(parts[:n]) for n in range(1, len(parts))]
        return [("/", {ADMINS: "CAN_MANAGE"}), *((path, self.folder(path)) for path in above)]

    def folder(self, path: str) -> Acl:
        """What is granted on a folder itself: Shared is everybody's, a home its user's."""
        parts = [p for p in path.split("/") if p]
        fixed: Acl = {}
        if parts == ["Shared"]:
            fixed = {EVERYBODY: "CAN_MANAGE"}
        elif len(parts) == 2 and parts[0] == "Users":
            fixed = {holder(parts[1]): "CAN_MANAGE"}
        return fixed | self.own("directories", path)

    def all(self, kind: str, name: str) -> Acl:
        """Every grant that counts, the strongest for each holder."""
        found: Acl = {}
        own = self.folder(name) if kind == "directories" else self.own(kind, name)
        for _, granted in [*self.inherited(kind, name), ("", own)]:
            for who, level in granted.items():
                ranks = GRANTABLE[kind].index
                if who not in found or ranks(found[who]) < ranks(level):
                    found[who] = level
        return found

    def _named(self, request: web.Request) -> tuple[str, str]:
        """Kind and name of what a request is about.

        Raises:
            ApiError: 404.
        """
        kind, given = request.match_info["kind"], request.match_info["id"]
        if kind == "directories":
            return kind, self.folder_of(given)
        family = "projects" if kind == "database-projects" else "instances"
        if given not in self.store.family(family):
            raise missing(f"{kind} {given} does not exist.")
        return kind, given

    def folder_of(self, object_id: str) -> str:
        """The path of a folder's object id.

        Raises:
            ApiError: 404.
        """
        tree = [self.files.folder, *(p for p in self.files.folder.rglob("*") if p.is_dir())]
        for place in tree:
            if str(place.stat().st_ino) == object_id:
                return self.files.shown(place)
        raise missing(f"Node ID {object_id} does not exist.")

    async def _get(self, request: web.Request) -> web.Response:
        return answer(self._shown(*self._named(request), request.match_info["id"]))

    async def _change(self, request: web.Request) -> web.Response:
        """PATCH adds; PUT replaces, save that whoever made it keeps CAN_MANAGE."""
        kind, name = self._named(request)
        given = entries(await body(request), GRANTABLE[kind])
        before = self.own(kind, name)
        if request.method == "PUT":
            before = {
                w: level for w, level in before.items() if level == "CAN_MANAGE" and w == _maker(before)
            }
        self.lists[f"{kind}/{name}"] = before | given
        self.store.save()
        return answer(self._shown(kind, name, request.match_info["id"]))

    def made(self, kind: str, name: str, by: str) -> None:
        """Somebody made a thing, and so manages it."""
        self.lists[f"{kind}/{name}"] = {holder(by): "CAN_MANAGE"}
        self.store.save()

    def _shown(self, kind: str, name: str, object_id: str) -> dict[str, Any]:
        by_holder: dict[str, list[dict[str, Any]]] = {}
        own = (
            self.folder(name)
            if kind == "directories"
            else self.own(kind, name) or {holder(USER): "CAN_MANAGE"}
        )
        for who, level in own.items():
            by_holder.setdefault(who, []).append({"permission_level": level, "inherited": False})
        for whence, granted in self.inherited(kind, name):
            for who, level in granted.items():
                inherited = {"permission_level": level, "inherited": True, "inherited_from_object": [whence]}
                by_holder.setdefault(who, []).append(inherited)
        return {
            "object_id": f"/{kind}/{object_id}",
            "object_type": {"directories": "directory"}.get(kind, kind.removesuffix("s")),
            "access_control_list": [shown(who, levels) for who, levels in by_holder.items()],
        }

    async def _levels(self, request: web.Request) -> web.Response:
        kind, _ = self._named(request)
        return answer({"permission_levels": [{"permission_level": level} for level in GRANTABLE[kind]]})


def holder(name: str) -> str:
    """How an access list calls a person."""
    return f"user_name:{name}" if "@" in name else f"service_principal_name:{name}"


def shown(who: str, levels: list[dict[str, Any]]) -> dict[str, Any]:
    """One holder's entry as the permissions API gives it."""
    kind, _, name = who.partition(":")
    return {kind: name, "display_name": name, "all_permissions": levels}


def entries(data: dict[str, Any], grantable: tuple[str, ...]) -> Acl:
    """The grants of a request.

    Raises:
        ApiError: 400.
    """
    found: Acl = {}
    for entry in data.get("access_control_list") or []:
        who = [(kind, entry[kind]) for kind in HOLDERS if entry.get(kind)]
        if len(who) != 1 or entry.get("permission_level") not in grantable:
            raise invalid(
                f"Each access control entry needs exactly one principal and {' or '.join(grantable)}."
            )
        found[f"{who[0][0]}:{who[0][1]}"] = entry["permission_level"]
    return found


def _maker(acl: Acl) -> str:
    return next(iter(acl), "")
