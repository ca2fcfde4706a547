"""`/api/2.0/preview/scim/v2`: who calls."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.local.api.requests import Call
from metamcp_deploy.local.api.routes import Route


def routes() -> list[Route]:
    """The table of this family."""
    return [Route("GET", "/api/2.0/preview/scim/v2/Me", _me, apps=True)]


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
