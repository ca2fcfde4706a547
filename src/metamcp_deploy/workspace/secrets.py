"""Secret scopes and their keys."""

from __future__ import annotations

import base64

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace.api import Api


class Secrets:
    """Reads and writes secrets; values travel as `Secret`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def ensure_scope(self, scope: str) -> bool:
        """Makes the scope unless it is there; True when it was made."""
        if self.keys(scope) is not None:
            return False
        try:
            self._api.call("POST", "/api/2.0/secrets/scopes/create", body={"scope": scope})
        except DeployError as e:
            if e.code is Code.ALREADY_EXISTS:
                return False
            raise
        return True

    def keys(self, scope: str) -> set[str] | None:
        """Names of the scope's secrets; None without such a scope."""
        written = self.written(scope)
        return None if written is None else set(written)

    def written(self, scope: str) -> dict[str, int] | None:
        """Name → when it was last written, in milliseconds since the epoch; None without such a scope."""
        try:
            answer = self._api.call("GET", "/api/2.0/secrets/list", query={"scope": scope})
        except DeployError as e:
            if e.code is Code.NOT_FOUND:
                return None
            raise
        return {s["key"]: int(s.get("last_updated_timestamp") or 0) for s in answer.get("secrets", [])}

    def get(self, scope: str, key: str) -> Secret | None:
        """A value; None when this login may not read it, or it is not there."""
        try:
            answer = self._api.call("GET", "/api/2.0/secrets/get", query={"scope": scope, "key": key})
        except DeployError as e:
            if e.code in (Code.NOT_FOUND, Code.PERMISSION_DENIED):
                return None
            raise
        return Secret(base64.b64decode(answer["value"]).decode())

    def put(self, scope: str, key: str, value: Secret) -> None:
        """Writes a value over what was there."""
        body = {"scope": scope, "key": key, "string_value": value.reveal()}
        self._api.call("POST", "/api/2.0/secrets/put", body=body)
