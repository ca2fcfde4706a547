"""`/local`: what the platform does not have: the workspace's status, faults, further people, and acts of others."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import fields
from typing import Any

from metamcp_deploy.errors import DeployError
from metamcp_deploy.local.api import overview
from metamcp_deploy.local.api.apps import AppsApi
from metamcp_deploy.local.api.errors import denied, invalid
from metamcp_deploy.local.api.requests import Call
from metamcp_deploy.local.api.routes import Route
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.faults.fault import ROUTE as FAULTS
from metamcp_deploy.local.faults.fault import Fault
from metamcp_deploy.local.faults.injection import Faults
from metamcp_deploy.local.federation import FIELDS
from metamcp_deploy.local.options import USER
from metamcp_deploy.local.repair import Repair

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class Local:
    """The handlers."""

    def __init__(self, context: Context, apps: AppsApi, faults: Faults, repair: Repair) -> None:
        self.context = context
        self.apps = apps
        self.faults = faults
        self.repair = repair
        self.people = context.store.family("people")

    def routes(self) -> list[Route]:
        """The table of this family."""
        return [
            Route("GET", "/local/status", self._status),
            Route("POST", "/local/repair", self._repair),
            Route("GET", FAULTS, self._list_faults),
            Route("POST", FAULTS, self._add_fault),
            Route("DELETE", FAULTS, self._clear_faults),
            Route("POST", "/local/people", self._add_person),
            Route("POST", "/local/vault", self._fill_vault),
            Route("POST", "/local/apps/{name}/broken", self._break_app),
        ]

    async def _status(self, call: Call) -> dict[str, Any]:
        """What `local status` shows; to everybody but the owner without the superuser's URIs."""
        shown = await overview.of(self.context, self.apps, self.faults)
        if call.principal.name == USER:
            lakebase = self.context.databases.lakebase
            names = ["postgres", *shown["postgres"]["databases"]]
            shown["superuser_uris"] = {n: lakebase.superuser_uri(n).reveal() for n in names}
        return shown

    async def _repair(self, _: Call) -> dict[str, Any]:
        """Starts again what died; `failed` is the error when that did not work."""
        try:
            return {"started": await self.repair.all()}
        except DeployError as e:
            return {"started": [], "failed": e.as_dict()}

    def _list_faults(self, _: Call) -> dict[str, Any]:
        return {"faults": [a.shown() for a in self.faults.active.values()]}

    def _add_fault(self, call: Call) -> dict[str, Any]:
        data = call.data
        name = data.pop("name", None)
        known = {f.name for f in fields(Fault)}
        if unknown := sorted(set(data) - known):
            raise invalid(f"A fault has no {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
        try:
            fault = Fault(**data)
        except (DeployError, TypeError) as e:
            raise invalid(str(e)) from e
        return self.faults.add(fault, name).shown()

    def _clear_faults(self, call: Call) -> dict[str, Any]:
        return {"cleared": self.faults.clear(call.data.get("name"))}

    def _add_person(self, call: Call) -> dict[str, Any]:
        """`{name, admin?, federation?}`: an e-mail address makes a user, any other name a service principal.

        `{name, group: true}` makes a group, which access lists can name and nobody is in.

        Adding somebody again changes what they may do and keeps their login.
        """
        if call.principal.name != USER:
            raise denied("Only the workspace's owner adds people.")
        name, policy = call.field("name"), call.data.get("federation")
        if call.data.get("group") is True:
            self.context.store.family("groups")[name] = {}
            self.context.store.save()
            return {"name": name}
        if policy is not None and not (isinstance(policy, dict) and all(policy.get(k) for k in FIELDS)):
            raise invalid(f"federation needs {', '.join(FIELDS)}")
        known = next((i for i, r in self.people.items() if r["display_name"] == name), None)
        client_id = known or str(uuid.uuid4())
        if known is None:
            self.people[client_id] = {
                # A service principal is called by its client id wherever the API names people.
                "name": name if _EMAIL.fullmatch(name) else client_id,
                "display_name": name,
                "number": str(2000 + len(self.people)),
                "client_secret": "dose" + secrets.token_hex(16),
                "token": "dapi" + secrets.token_hex(16),
            }
        record = self.people[client_id]
        record |= {"admin": call.data.get("admin") is True, "federation": policy}
        self.context.files.mkdirs(f"/Users/{record['name']}")
        self.context.store.save()
        shown = ("name", "client_secret", "token", "admin")
        return {"client_id": client_id, **{k: record[k] for k in shown}}

    def _fill_vault(self, call: Call) -> dict[str, Any]:
        """The vault's owner puts a secret there."""
        data, scopes = call.data, self.context.secrets
        scopes.put(scopes.scope(call.field("scope")), call.field("key"), data)
        return {}

    async def _break_app(self, call: Call) -> dict[str, Any]:
        """Puts the compute in ERROR, as after a create that failed on the platform."""
        name = call["name"]
        await self.apps.apps.broken(name)
        return self.apps.shown(name)
