"""Secret scopes: keys, values and access lists, with the platform's refusals."""

from __future__ import annotations

import base64
import re
import time
from binascii import Error as Base64Error
from typing import Any

from aiohttp import web

from metamcp_deploy.local.answers import ApiError, answer, body, denied, exists, invalid, missing, text
from metamcp_deploy.local.identity import Principal
from metamcp_deploy.local.store import Store

_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,128}")
_VALUE_BYTES = 131_072
_MOST = 1000  # scopes in a workspace, and secrets in a scope
_OWN, _VAULT = "DATABRICKS", "AZURE_KEYVAULT"
_RANKS = {"READ": 1, "WRITE": 2, "MANAGE": 3}


class SecretScopes:
    """The `secrets/*` family. The user owns every scope; apps' principals need an access list entry."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.scopes = store.family("scopes")

    def value(self, scope: str, key: str) -> str:
        """A secret's text.

        Raises:
            ApiError: 404.
        """
        secret = self._scope(scope)["secrets"].get(key)
        if secret is None:
            raise missing(f"Secret does not exist with scope: {scope} and key: {key}")
        return base64.b64decode(secret["value"]).decode(errors="replace")

    def grant(self, scope: str, principal: str, permission: str) -> None:
        """Adds an access list entry, unless there is a stronger one."""
        acls = self._scope(scope)["acls"]
        if _RANKS.get(acls.get(principal, ""), 0) < _RANKS[permission]:
            acls[principal] = permission
            self.store.save()

    def routes(self) -> list[web.RouteDef]:
        """All of the family."""
        base = "/api/2.0/secrets"
        return [
            web.post(f"{base}/scopes/create", self._create_scope),
            web.get(f"{base}/scopes/list", self._list_scopes),
            web.post(f"{base}/scopes/delete", self._delete_scope),
            web.post(f"{base}/put", self._put),
            web.post("/local/vault", self._fill_vault),
            web.get(f"{base}/get", self._get),
            web.get(f"{base}/list", self._list),
            web.post(f"{base}/delete", self._delete),
            web.post(f"{base}/acls/put", self._put_acl),
            web.get(f"{base}/acls/get", self._get_acl),
            web.get(f"{base}/acls/list", self._list_acls),
            web.post(f"{base}/acls/delete", self._delete_acl),
        ]

    def _scope(self, name: str) -> dict[str, Any]:
        scope: dict[str, Any] | None = self.scopes.get(name)
        if scope is None:
            raise missing(f"Scope {name} does not exist!")
        return scope

    def _readable(self, request: web.Request, name: str) -> dict[str, Any]:
        scope = self._scope(name)
        principal: Principal = request["principal"]
        if principal.app and principal.name not in scope["acls"]:
            raise denied(f"User {principal.name} does not have READ permission on scope {name}")
        return scope

    async def _create_scope(self, request: web.Request) -> web.Response:
        data = await body(request)
        name = _name(text(data, "scope"))
        if name in self.scopes:
            raise exists(f"Scope {name} already exists!", 400)
        owner: Principal = request["principal"]
        made: dict[str, Any] = {"secrets": {}, "acls": {owner.name: "MANAGE"}, **_backend(data)}
        if (initial := data.get("initial_manage_principal")) is not None:
            if initial != "users":
                raise invalid("initial_manage_principal can only be users")
            made["acls"]["users"] = "MANAGE"
        if len(self.scopes) >= _MOST:
            raise ApiError(400, "RESOURCE_LIMIT_EXCEEDED", f"A workspace holds at most {_MOST} scopes")
        self.scopes[name] = made
        self.store.save()
        return answer({})

    async def _list_scopes(self, _: web.Request) -> web.Response:
        listed = [
            {"name": name, "backend_type": "DATABRICKS"}
            | {k: scope[k] for k in ("backend_type", "keyvault_metadata") if k in scope}
            for name, scope in sorted(self.scopes.items())
        ]
        return answer({"scopes": listed} if listed else {})

    async def _delete_scope(self, request: web.Request) -> web.Response:
        name = text(await body(request), "scope")
        self._scope(name)
        del self.scopes[name]
        self.store.save()
        return answer({})

    async def _put(self, request: web.Request) -> web.Response:
        data = await body(request)
        self._writable(text(data, "scope"))
        return self._kept(data)

    def _writable(self, name: str) -> None:
        """Whether the API may write into a scope. What a vault keeps is written in the vault.

        Raises:
            ApiError: 404; 400 for a scope that a vault keeps. The words of that are unsure.
        """
        if self._scope(name).get("backend_type", _OWN) != _OWN:
            raise ApiError(400, "BAD_REQUEST", f"Cannot write secrets to Azure KeyVault-backed scope {name}")

    async def _fill_vault(self, request: web.Request) -> web.Response:
        """Not part of the platform: the vault's owner puts a secret there."""
        return self._kept(await body(request))

    def _kept(self, data: dict[str, Any]) -> web.Response:
        scope = self._scope(text(data, "scope"))
        key = _name(text(data, "key"))
        if ("string_value" in data) == ("bytes_value" in data):
            raise invalid("Exactly one of string_value and bytes_value must be given")
        if "string_value" in data:
            value = str(data["string_value"]).encode()
        else:
            try:
                value = base64.b64decode(str(data["bytes_value"]), validate=True)
            except Base64Error as e:
                raise invalid("bytes_value must be base64-encoded") from e
        if len(value) > _VALUE_BYTES:
            raise ApiError(400, "RESOURCE_LIMIT_EXCEEDED", f"Secret value exceeds {_VALUE_BYTES} bytes")
        if key not in scope["secrets"] and len(scope["secrets"]) >= _MOST:
            raise ApiError(400, "RESOURCE_LIMIT_EXCEEDED", f"A scope holds at most {_MOST} secrets")
        scope["secrets"][key] = {
            "value": base64.b64encode(value).decode(),
            "updated": int(time.time() * 1000),
        }
        self.store.save()
        return answer({})

    async def _get(self, request: web.Request) -> web.Response:
        name, key = text(dict(request.query), "scope"), text(dict(request.query), "key")
        secret = self._readable(request, name)["secrets"].get(key)
        if secret is None:
            raise missing(f"Secret does not exist with scope: {name} and key: {key}")
        return answer({"key": key, "value": secret["value"]})

    async def _list(self, request: web.Request) -> web.Response:
        found = self._readable(request, text(dict(request.query), "scope"))["secrets"]
        listed = [{"key": k, "last_updated_timestamp": v["updated"]} for k, v in sorted(found.items())]
        return answer({"secrets": listed} if listed else {})

    async def _delete(self, request: web.Request) -> web.Response:
        data = await body(request)
        name, key = text(data, "scope"), text(data, "key")
        self._writable(name)
        if self._scope(name)["secrets"].pop(key, None) is None:
            raise missing(f"Secret does not exist with scope: {name} and key: {key}")
        self.store.save()
        return answer({})

    async def _put_acl(self, request: web.Request) -> web.Response:
        data = await body(request)
        permission = text(data, "permission")
        if permission not in _RANKS:
            raise invalid(f"permission must be one of {', '.join(_RANKS)}, not {permission}")
        self._scope(text(data, "scope"))["acls"][text(data, "principal")] = permission
        self.store.save()
        return answer({})

    async def _get_acl(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        acls, principal = self._scope(text(query, "scope"))["acls"], text(query, "principal")
        if principal not in acls:
            raise missing(f"Failed to get secret acl for principal {principal} for scope {query['scope']}.")
        return answer({"principal": principal, "permission": acls[principal]})

    async def _list_acls(self, request: web.Request) -> web.Response:
        acls = self._scope(text(dict(request.query), "scope"))["acls"]
        return answer({"items": [{"principal": p, "permission": v} for p, v in sorted(acls.items())]})

    async def _delete_acl(self, request: web.Request) -> web.Response:
        data = await body(request)
        scope, principal = text(data, "scope"), text(data, "principal")
        if self._scope(scope)["acls"].pop(principal, None) is None:
            raise missing(f"Failed to delete secret acl for principal {principal} for scope {scope}.")
        self.store.save()
        return answer({})


def _backend(data: dict[str, Any]) -> dict[str, Any]:
    """Where a new scope's secrets are: with the workspace, or in a vault that only its owner writes to."""
    kind = data.get("scope_backend_type") or _OWN
    if kind == _OWN:
        return {}
    vault = data.get("backend_azure_keyvault")
    if kind != _VAULT:
        raise invalid(f"scope_backend_type must be {_OWN} or {_VAULT}, not {kind!r}")
    if not isinstance(vault, dict) or not all(vault.get(k) for k in ("resource_id", "dns_name")):
        raise invalid("backend_azure_keyvault needs resource_id and dns_name")
    return {"backend_type": kind, "keyvault_metadata": {k: vault[k] for k in ("resource_id", "dns_name")}}


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise invalid(f"{name!r} may hold only letters, digits, '-', '_', '@' and '.', at most 128 of them")
    return name
