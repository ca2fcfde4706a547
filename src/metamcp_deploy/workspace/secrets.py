"""Secret scopes, their keys and their access lists."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace.api import Api

_ROOT = "/api/2.0/secrets"


@dataclass(frozen=True)
class Scope:
    """A scope: `vault` is the address of the Azure Key Vault behind it, which makes it read-only; None without."""

    name: str
    vault: str | None = None


class Secrets:
    """Reads and writes secrets; values travel as `Secret`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def scope(self, name: str) -> Scope | None:
        """The scope (names differ by more than case); None when there is none."""
        for found in self._api.call("GET", f"{_ROOT}/scopes/list").get("scopes", []):
            if str(found.get("name")).casefold() == name.casefold():
                kept = found.get("keyvault_metadata") or {}
                read_only = found.get("backend_type") not in (None, "DATABRICKS")
                vault = str(kept.get("dns_name") or found.get("backend_type")) if read_only else None
                return Scope(str(found["name"]), vault)
        return None

    def create_scope(self, name: str) -> bool:
        """Makes a scope that its maker manages; False when it was there."""
        try:
            self._api.call("POST", f"{_ROOT}/scopes/create", body={"scope": name})
        except DeployError as e:
            if e.code is Code.ALREADY_EXISTS:
                return False
            raise
        return True

    def written(self, scope: str) -> dict[str, int] | None:
        """Name → when it was last written, in milliseconds since the epoch; None without such a scope."""
        try:
            answer = self._api.call("GET", f"{_ROOT}/list", query={"scope": scope})
        except DeployError as e:
            if e.code is Code.NOT_FOUND:
                return None
            raise
        return {s["key"]: int(s.get("last_updated_timestamp") or 0) for s in answer.get("secrets", [])}

    def get(self, scope: str, key: str) -> Secret | None:
        """A value; None when this login may not read it, or it is not there."""
        try:
            answer = self._api.call("GET", f"{_ROOT}/get", query={"scope": scope, "key": key})
        except DeployError as e:
            if e.code in (Code.NOT_FOUND, Code.PERMISSION_DENIED):
                return None
            raise
        return Secret(base64.b64decode(answer["value"]).decode())

    def put(self, scope: str, key: str, value: Secret) -> None:
        """Writes a value over what was there."""
        body = {"scope": scope, "key": key, "string_value": value.reveal()}
        self._api.call("POST", f"{_ROOT}/put", body=body)

    def delete(self, scope: str, key: str) -> None:
        """Deletes a secret; one that is not there is fine."""
        self._gone("delete", {"scope": scope, "key": key})

    def delete_scope(self, scope: str) -> None:
        """Deletes a scope with all its secrets; one that is not there is fine."""
        self._gone("scopes/delete", {"scope": scope})

    def _gone(self, what: str, body: dict[str, str]) -> None:
        try:
            self._api.call("POST", f"{_ROOT}/{what}", body=body)
        except DeployError as e:
            if e.code is not Code.NOT_FOUND:
                raise

    def granted(self, scope: str) -> dict[str, str]:
        """Who may do what: name of a user or group, or client id → READ, WRITE or MANAGE. Needs MANAGE."""
        answer = self._api.call("GET", f"{_ROOT}/acls/list", query={"scope": scope})
        return {str(i["principal"]): str(i["permission"]) for i in answer.get("items", [])}

    def grant(self, scope: str, principal: str, permission: str) -> None:
        """Gives somebody this permission in place of the one that they had; those of others stay."""
        body = {"scope": scope, "principal": principal, "permission": permission}
        self._api.call("POST", f"{_ROOT}/acls/put", body=body)
