"""`/api/2.0/preview/scim/v2`: who calls, and who there is."""

from __future__ import annotations

import re
from typing import Any

from metamcp_deploy.local.api.errors import ApiError
from metamcp_deploy.local.api.requests import Call
from metamcp_deploy.local.api.routes import Route
from metamcp_deploy.local.directory import Directory

_ROOT = "/api/2.0/preview/scim/v2"
# Collection → its filter's attribute, and what access lists call one of it.
_KINDS = {
    "Users": ("userName", "user_name"),
    "Groups": ("displayName", "group_name"),
    "ServicePrincipals": ("applicationId", "service_principal_name"),
}


class Scim:
    """HTTP in front of Directory: lists filtered by one name (`userName eq "ada@example.com"`)."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    def routes(self) -> list[Route]:
        """The table of this family."""
        listed = f"{_ROOT}/{{kind:{'|'.join(_KINDS)}}}"
        return [Route("GET", f"{_ROOT}/Me", _me, apps=True), Route("GET", listed, self._list)]

    def _list(self, call: Call) -> dict[str, Any]:
        attribute, kind = _KINDS[call["kind"]]
        asked = re.fullmatch(rf'{attribute} eq "([^"]*)"', call.query.get("filter", ""), re.IGNORECASE)
        if asked is None:
            raise ApiError(
                501, "NOT_IMPLEMENTED", f'The embedded workspace filters by {attribute} eq "NAME".'
            )
        # Names are compared without case (RFC 7643: userName is not case-exact).
        found = [name for name in self.directory.names(kind) if name.lower() == asked[1].lower()]
        resources = [{"id": str(n), attribute: name} for n, name in enumerate(found, 1)]
        paging = {"totalResults": len(found), "itemsPerPage": len(found), "startIndex": 1}
        first = int(call.query.get("startIndex") or 1) <= 1
        return {"Resources": resources if first else [], **paging}


def _me(call: Call) -> dict[str, Any]:
    principal = call.principal
    person = "@" in principal.name
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": principal.number,
        "userName": principal.name,
        "displayName": principal.display_name,
        "active": True,
        "emails": [{"type": "work", "value": principal.name, "primary": True}] if person else [],
        "groups": [{"display": "admins", "type": "direct", "value": "1"}] if principal.admin else [],
    }
