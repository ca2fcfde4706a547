"""Access lists of a workspace's things: who holds which level, and adding to them.

Kinds and their ids: `apps` (name), `database-projects` (project id), `database-instances` (name), `directories` (object
id of a workspace folder).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metamcp_deploy.workspace import services
from metamcp_deploy.workspace.services import content
from metamcp_deploy.workspace.transport import Transport

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

    def grant(self, kind: str, name: str, entries: Sequence[Mapping[str, str]]) -> None:
        """Adds grants and leaves all others (PUT would replace them).

        Args:
            kind: of the thing.
            name: its id.
            entries: each with `permission_level` and one of HOLDERS.
        """
        wanted = [content("iam", "AccessControlRequest", e) for e in entries]
        services.permissions(self._transport).update(kind, name, access_control_list=wanted)
