"""Who there is in the workspace: users, service principals, groups."""

from __future__ import annotations

from metamcp_deploy.local.access_lists import Acl
from metamcp_deploy.local.api.errors import ApiError, invalid
from metamcp_deploy.local.options import USER
from metamcp_deploy.local.store import Store

GROUPS = ("users", "admins", "account users")
_SHOWN = {
    "user_name": "UserName",
    "group_name": "GroupName",
    "service_principal_name": "ServicePrincipalName",
}


class Directory:
    """The principals by kind, as access lists call them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def names(self, kind: str) -> list[str]:
        """All of `user_name`, `group_name` or `service_principal_name`."""
        people = [str(one["name"]) for one in self.store.family("people").values()]
        if kind == "user_name":
            return [USER, *(name for name in people if "@" in name)]
        if kind == "group_name":
            return [*GROUPS, *self.store.family("groups")]
        apps = [str(app["principal"]["client_id"]) for app in self.store.family("apps").values()]
        return [*(name for name in people if "@" not in name), *apps]

    def check(self, given: Acl) -> None:
        """Refuses grants to nobody, in the platform's words.

        Raises:
            ApiError: 400.
        """
        for who in given:
            kind, _, name = who.partition(":")
            if name not in self.names(kind):
                text = f"Principal: {_SHOWN[kind]}({name}) does not exist"
                raise ApiError(400, "INVALID_PARAMETER_VALUE", text)

    def check_any(self, name: str) -> None:
        """As `check`, for a secret scope, whose list names people and groups alike.

        Raises:
            ApiError: 400; the words are a guess.
        """
        if not any(name in self.names(kind) for kind in _SHOWN):
            raise invalid(f"Principal {name} does not exist")
