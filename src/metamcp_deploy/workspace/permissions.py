"""Access lists of a workspace's things: who holds which level, and adding to them.

Kinds and their ids: `apps` (name), `database-projects` (project id), `database-instances` (name), `directories` (object
id of a workspace folder).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from metamcp_deploy.workspace import services
from metamcp_deploy.workspace.services import content
from metamcp_deploy.workspace.transport import Transport

# What SCIM filters a principal by, and the service that lists its kind.
_LOOKED_UP = {
    "user_name": ("userName", "users"),
    "group_name": ("displayName", "groups"),
    "service_principal_name": ("applicationId", "service_principals"),
}
HOLDERS = ("user_name", "group_name", "service_principal_name")

# Who, as (`user_name`, "ada@example.com") → the levels they hold, inherited ones included.
Granted = dict[tuple[str, str], set[str]]


class Permissions:
    """`/api/2.0/permissions/...`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def granted(self, kind: str, name: str) -> Granted:
        """Who may do what with a thing; levels as text, as a kind may have some that the SDK does not know.

        Raises:
            ApiError: NOT_FOUND; PERMISSION_DENIED to those who may not see it.
        """
        service = services.permissions(self._transport)
        granted: Granted = {}
        for entry in self._transport.answer(lambda: service.get(kind, name)).get("access_control_list", []):
            levels = {str(p.get("permission_level")) for p in entry.get("all_permissions", [])}
            for holder in HOLDERS:
                if who := entry.get(holder):
                    granted.setdefault((holder, who), set()).update(levels)
        return granted

    def known(self, kind: str, name: str) -> bool:
        """Whether there is a principal of that name; `kind` is one of HOLDERS.

        Raises:
            ApiError: PERMISSION_DENIED to those who may not list them.
        """
        attribute, service = _LOOKED_UP[kind]
        asked = f"{attribute} eq {json.dumps(name)}"
        directory = getattr(services, service)(self._transport)
        pages = self._transport.answers(lambda: list(directory.list(filter=asked)))
        return any(page.get("Resources") for page in pages)

    def grant(self, kind: str, name: str, entries: Sequence[Mapping[str, str]]) -> None:
        """Adds grants and leaves all others (PUT would replace them).

        Args:
            kind: of the thing.
            name: its id.
            entries: each with `permission_level` and one of HOLDERS.
        """
        wanted = [content("iam", "AccessControlRequest", e) for e in entries]
        services.permissions(self._transport).update(kind, name, access_control_list=wanted)
