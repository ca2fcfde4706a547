"""Access lists of folders, Lakebase projects and database instances. Apps and secret scopes keep their own."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.local.api.errors import invalid, missing
from metamcp_deploy.local.files import Files
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

    def change(self, kind: str, name: str, given: Acl, *, replace: bool) -> None:
        """Adds to a list, or replaces it, save that whoever made the thing keeps CAN_MANAGE."""
        before = self.own(kind, name)
        if replace:
            maker = next(iter(before), "")
            before = {maker: "CAN_MANAGE"} if before.get(maker) == "CAN_MANAGE" else {}
        self.lists[f"{kind}/{name}"] = before | given
        self.store.save()

    def made(self, kind: str, name: str, by: str) -> None:
        """Somebody made a thing, and so manages it."""
        self.lists[f"{kind}/{name}"] = {holder(by): "CAN_MANAGE"}
        self.store.save()


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
