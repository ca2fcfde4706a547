"""Secret scopes: their secrets and access lists, with the platform's refusals."""

from __future__ import annotations

import base64
import re
import time
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any

from metamcp_deploy.local.api.errors import ApiError, exists, invalid, missing
from metamcp_deploy.local.store import Store

RANKS = {"READ": 1, "WRITE": 2, "MANAGE": 3}
WORKSPACE, _VAULT = "DATABRICKS", "AZURE_KEYVAULT"
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,128}")
_VALUE_BYTES = 131_072
_MOST = 1000  # scopes in a workspace, and secrets in a scope


class SecretScopes:
    """All scopes, by name: `{"secrets": {key: {"value", "updated"}}, "acls": {principal: permission}}`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.scopes = store.family("scopes")

    def scope(self, name: str) -> dict[str, Any]:
        """A scope.

        Raises:
            ApiError: 404.
        """
        scope: dict[str, Any] | None = self.scopes.get(name)
        if scope is None:
            raise missing(f"Scope {name} does not exist!")
        return scope

    def secret(self, scope: str, key: str) -> dict[str, Any]:
        """A secret: `value` in base64, and `updated` in milliseconds since the epoch.

        Raises:
            ApiError: 404.
        """
        secret: dict[str, Any] | None = self.scope(scope)["secrets"].get(key)
        if secret is None:
            raise missing(f"Secret does not exist with scope: {scope} and key: {key}")
        return secret

    def value(self, scope: str, key: str) -> str:
        """A secret's text.

        Raises:
            ApiError: 404.
        """
        return base64.b64decode(self.secret(scope, key)["value"]).decode(errors="replace")

    def grant(self, scope: str, principal: str, permission: str) -> None:
        """Adds an access list entry, unless there is a stronger one."""
        acls = self.scope(scope)["acls"]
        if RANKS.get(acls.get(principal, ""), 0) < RANKS[permission]:
            acls[principal] = permission
            self.store.save()

    def create(self, name: str, owner: str, data: Mapping[str, Any]) -> None:
        """Creates a scope, whose owner manages it.

        Raises:
            ApiError: 400.
        """
        _check_name(name)
        if name in self.scopes:
            raise exists(f"Scope {name} already exists!", 400)
        made: dict[str, Any] = {"secrets": {}, "acls": {owner: "MANAGE"}, **_backend(data)}
        if (initial := data.get("initial_manage_principal")) is not None:
            if initial != "users":
                raise invalid("initial_manage_principal can only be users")
            made["acls"]["users"] = "MANAGE"
        if len(self.scopes) >= _MOST:
            raise ApiError(400, "RESOURCE_LIMIT_EXCEEDED", f"A workspace holds at most {_MOST} scopes")
        self.scopes[name] = made
        self.store.save()

    def writable(self, name: str) -> dict[str, Any]:
        """A scope that the API may write into. What a vault keeps is written in the vault.

        Raises:
            ApiError: 404; 400 for a scope that a vault keeps. The words of that are unsure.
        """
        scope = self.scope(name)
        if scope.get("backend_type", WORKSPACE) != WORKSPACE:
            raise ApiError(400, "BAD_REQUEST", f"Cannot write secrets to Azure KeyVault-backed scope {name}")
        return scope

    def put(self, scope: dict[str, Any], key: str, data: Mapping[str, Any]) -> None:
        """Writes a secret: `string_value`, or `bytes_value` in base64.

        Raises:
            ApiError: 400.
        """
        _check_name(key)
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
        encoded = base64.b64encode(value).decode()
        scope["secrets"][key] = {"value": encoded, "updated": int(time.time() * 1000)}
        self.store.save()


def _backend(data: Mapping[str, Any]) -> dict[str, Any]:
    """Where a new scope's secrets are: with the workspace, or in a vault that only its owner writes to."""
    kind = data.get("scope_backend_type") or WORKSPACE
    if kind == WORKSPACE:
        return {}
    vault = data.get("backend_azure_keyvault")
    if kind != _VAULT:
        raise invalid(f"scope_backend_type must be {WORKSPACE} or {_VAULT}, not {kind!r}")
    if not isinstance(vault, dict) or not all(vault.get(k) for k in ("resource_id", "dns_name")):
        raise invalid("backend_azure_keyvault needs resource_id and dns_name")
    return {"backend_type": kind, "keyvault_metadata": {k: vault[k] for k in ("resource_id", "dns_name")}}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise invalid(f"{name!r} may hold only letters, digits, '-', '_', '@' and '.', at most 128 of them")
