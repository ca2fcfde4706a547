"""Access lists of a workspace's things: who holds which level, and adding to them.

Kinds and their ids: `apps` (name), `database-projects` (project id), `database-instances` (name), `directories` (object
id of a workspace folder).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metamcp_deploy.workspace.api import Api

HOLDERS = ("user_name", "group_name", "service_principal_name")

# Who, as (`user_name`, "ada@example.com") → the levels they hold, inherited ones included.
Granted = dict[tuple[str, str], set[str]]


class Permissions:
    """`/api/2.0/permissions/...`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def granted(self, kind: str, name: str) -> Granted:
        """Who may do what with a thing.

        Raises:
            ApiError: NOT_FOUND; PERMISSION_DENIED to those who may not see it.
        """
        answer = self._api.call("GET", f"/api/2.0/permissions/{kind}/{name}")
        found: Granted = {}
        for entry in answer.get("access_control_list", []):
            for holder in HOLDERS:
                if who := entry.get(holder):
                    found.setdefault((holder, who), set()).update(_levels(entry))
        return found

    def grant(self, kind: str, name: str, entries: Sequence[Mapping[str, str]]) -> None:
        """Adds grants and leaves all others (PUT would replace them).

        Args:
            kind: of the thing.
            name: its id.
            entries: each with `permission_level` and one of HOLDERS.
        """
        body = {"access_control_list": [dict(e) for e in entries]}
        self._api.call("PATCH", f"/api/2.0/permissions/{kind}/{name}", body=body)


def _levels(entry: Mapping[str, Any]) -> set[str]:
    return {str(p.get("permission_level")) for p in entry.get("all_permissions", [])}
