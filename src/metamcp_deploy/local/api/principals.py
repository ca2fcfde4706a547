"""Other people than the workspace's owner: users and service principals, with the rights that access lists give them.

They are made by `POST /local/people`, which is no part of the platform; what they may do is (see `rights`).
"""

from __future__ import annotations

import re
import secrets
import uuid

from aiohttp import web

from metamcp_deploy.local.answers import answer, body, denied, invalid, text
from metamcp_deploy.local.federation import FIELDS
from metamcp_deploy.local.files import Files
from metamcp_deploy.local.identity import USER
from metamcp_deploy.local.store import Store

ROUTE = "/local/people"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class People:
    """The people of a workspace, by the client id that they log in with."""

    def __init__(self, store: Store, files: Files) -> None:
        self.store = store
        self.files = files
        self.records = store.family("people")

    def routes(self) -> list[web.RouteDef]:
        """To add somebody. Adding them again changes what they may do and keeps their login."""
        return [web.post(ROUTE, self._add)]

    async def _add(self, request: web.Request) -> web.Response:
        """`{name, admin?, federation?}`: an e-mail address makes a user, any other name a service principal."""
        if request["principal"].name != USER:
            raise denied("Only the workspace's owner adds people.")
        data = await body(request)
        name, policy = text(data, "name"), data.get("federation")
        if policy is not None and not (isinstance(policy, dict) and all(policy.get(k) for k in FIELDS)):
            raise invalid(f"federation needs {', '.join(FIELDS)}")
        known = next((i for i, r in self.records.items() if r["display_name"] == name), None)
        client_id = known or str(uuid.uuid4())
        if known is None:
            self.records[client_id] = {
                # A service principal is called by its client id wherever the API names people.
                "name": name if _EMAIL.fullmatch(name) else client_id,
                "display_name": name,
                "number": str(2000 + len(self.records)),
                "client_secret": "dose" + secrets.token_hex(16),
                "token": "dapi" + secrets.token_hex(16),
            }
        record = self.records[client_id]
        record |= {"admin": data.get("admin") is True, "federation": policy}
        self.files.mkdirs(f"/Users/{record['name']}")
        self.store.save()
        return answer(
            {"client_id": client_id, **{k: record[k] for k in ("name", "client_secret", "token", "admin")}}
        )
