"""`/api/2.0/secrets`: scopes, secrets and access lists. Apps' principals need an access list entry to read."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.local.api.authorization import SCOPES
from metamcp_deploy.local.api.errors import denied, invalid, missing
from metamcp_deploy.local.api.requests import Call
from metamcp_deploy.local.api.routes import Right, Route
from metamcp_deploy.local.directory import Directory
from metamcp_deploy.local.secret_scopes import RANKS, WORKSPACE, SecretScopes

_ROOT = "/api/2.0/secrets"
_READ, _WRITE, _MANAGE = (Right(SCOPES, level, "scope") for level in ("READ", "WRITE", "MANAGE"))


class Secrets:
    """HTTP in front of SecretScopes."""

    def __init__(self, secrets: SecretScopes, directory: Directory) -> None:
        self.secrets = secrets
        self.directory = directory

    def routes(self) -> list[Route]:
        """The table of this family."""
        return [
            Route("POST", f"{_ROOT}/scopes/create", self._create_scope),
            Route("GET", f"{_ROOT}/scopes/list", self._list_scopes),
            Route("POST", f"{_ROOT}/scopes/delete", self._delete_scope, _MANAGE),
            Route("POST", f"{_ROOT}/put", self._put, _WRITE),
            Route("GET", f"{_ROOT}/get", self._get, _READ, apps=True),
            Route("GET", f"{_ROOT}/list", self._list, _READ, apps=True),
            Route("POST", f"{_ROOT}/delete", self._delete, _WRITE),
            Route("POST", f"{_ROOT}/acls/put", self._put_acl, _MANAGE),
            Route("GET", f"{_ROOT}/acls/get", self._get_acl, _MANAGE),
            Route("GET", f"{_ROOT}/acls/list", self._list_acls, _MANAGE),
            Route("POST", f"{_ROOT}/acls/delete", self._delete_acl, _MANAGE),
        ]

    def _check_readable(self, call: Call, name: str) -> None:
        acls = self.secrets.scope(name)["acls"]
        principal = call.principal
        if principal.app and principal.name not in acls:
            raise denied(f"User {principal.name} does not have READ permission on scope {name}")

    def _create_scope(self, call: Call) -> dict[str, Any]:
        self.secrets.create(call.field("scope"), call.principal.name, call.data)
        return {}

    def _list_scopes(self, _: Call) -> dict[str, Any]:
        listed = [
            {"name": name, "backend_type": WORKSPACE}
            | {k: scope[k] for k in ("backend_type", "keyvault_metadata") if k in scope}
            for name, scope in sorted(self.secrets.scopes.items())
        ]
        return {"scopes": listed} if listed else {}

    def _delete_scope(self, call: Call) -> dict[str, Any]:
        name = call.field("scope")
        self.secrets.scope(name)
        del self.secrets.scopes[name]
        return self._saved()

    def _put(self, call: Call) -> dict[str, Any]:
        scope = self.secrets.writable(call.field("scope"))
        self.secrets.put(scope, call.field("key"), call.data)
        return {}

    def _get(self, call: Call) -> dict[str, Any]:
        scope, key = call.field("scope"), call.field("key")
        self._check_readable(call, scope)
        return {"key": key, "value": self.secrets.secret(scope, key)["value"]}

    def _list(self, call: Call) -> dict[str, Any]:
        scope = call.field("scope")
        self._check_readable(call, scope)
        secrets = sorted(self.secrets.scope(scope)["secrets"].items())
        listed = [{"key": k, "last_updated_timestamp": v["updated"]} for k, v in secrets]
        return {"secrets": listed} if listed else {}

    def _delete(self, call: Call) -> dict[str, Any]:
        name, key = call.field("scope"), call.field("key")
        scope = self.secrets.writable(name)
        self.secrets.secret(name, key)
        del scope["secrets"][key]
        return self._saved()

    def _put_acl(self, call: Call) -> dict[str, Any]:
        permission = call.field("permission")
        if permission not in RANKS:
            raise invalid(f"permission must be one of {', '.join(RANKS)}, not {permission}")
        acls, principal = self.secrets.scope(call.field("scope"))["acls"], call.field("principal")
        self.directory.check_any(principal)
        acls[principal] = permission
        return self._saved()

    def _get_acl(self, call: Call) -> dict[str, Any]:
        scope = call.field("scope")
        acls, principal = self.secrets.scope(scope)["acls"], call.field("principal")
        if principal not in acls:
            raise missing(f"Failed to get secret acl for principal {principal} for scope {scope}.")
        return {"principal": principal, "permission": acls[principal]}

    def _list_acls(self, call: Call) -> dict[str, Any]:
        acls = self.secrets.scope(call.field("scope"))["acls"]
        return {"items": [{"principal": p, "permission": v} for p, v in sorted(acls.items())]}

    def _delete_acl(self, call: Call) -> dict[str, Any]:
        scope, principal = call.field("scope"), call.field("principal")
        if self.secrets.scope(scope)["acls"].pop(principal, None) is None:
            raise missing(f"Failed to delete secret acl for principal {principal} for scope {scope}.")
        return self._saved()

    def _saved(self) -> dict[str, Any]:
        self.secrets.store.save()
        return {}
