"""Secret scopes, their keys and their access lists."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import sdk_import, services
from metamcp_deploy.workspace.services import created, optional
from metamcp_deploy.workspace.transport import Transport

if TYPE_CHECKING:
    from databricks.sdk.service.workspace import SecretsAPI


@dataclass(frozen=True)
class Scope:
    """A scope: `vault` is the address of the Azure Key Vault behind it, which makes it read-only; None without."""

    name: str
    vault: str | None = None


class Secrets:
    """Reads and writes secrets; values travel as `Secret`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._remembered: dict[tuple[str, str], Secret | None] = {}
        self._refused: dict[tuple[str, str], bool] = {}  # place → whether that was said
        self._lock = threading.Lock()

    @property
    def _service(self) -> SecretsAPI:
        return services.secrets(self._transport)

    def scope(self, name: str) -> Scope | None:
        """The scope (names differ by more than case); None when there is none."""
        # As it came: a kind of backend that the SDK does not know is read-only, too.
        for raw in self._transport.answer(self._service.list_scopes).get("scopes", []):
            if str(raw.get("name")).casefold() == name.casefold():
                kept = raw.get("keyvault_metadata") or {}
                read_only = raw.get("backend_type") not in (None, "DATABRICKS")
                vault = str(kept.get("dns_name") or raw.get("backend_type")) if read_only else None
                return Scope(str(raw["name"]), vault)
        return None

    def create_scope(self, name: str) -> bool:
        """Creates a scope that its creator manages; False when it existed."""
        return created(lambda: self._service.create_scope(name))

    def written(self, scope: str) -> dict[str, int] | None:
        """Name → when it was last written, in milliseconds since the epoch; None without such a scope."""
        listed = optional(lambda: list(self._service.list_secrets(scope)))
        return None if listed is None else {str(s.key): int(s.last_updated_timestamp or 0) for s in listed}

    def get(self, scope: str, key: str) -> Secret | None:
        """A value; None when this login may not read it, or it does not exist."""
        try:
            answer = optional(lambda: self._service.get_secret(scope, key))
        except DeployError as e:
            if e.code is not Code.PERMISSION_DENIED:
                raise
            self._refused.setdefault((scope, key), False)
            return None
        return None if answer is None else Secret(base64.b64decode(answer.value or "").decode())

    def remembered(self, scope: str, key: str) -> Secret | None:
        """As `get`, asked once until `forget`."""
        with self._lock:
            if (scope, key) not in self._remembered:
                self._remembered[scope, key] = self.get(scope, key)
            return self._remembered[scope, key]

    def refused(self, scope: str, key: str) -> bool:
        """Whether this login asked for a value and may not read it."""
        with self._lock:
            return (scope, key) in self._refused

    def newly_refused(self, scope: str, key: str) -> bool:
        """Whether this login may not read a value that it asked for; True once, for whoever says so."""
        with self._lock:
            said = self._refused.get((scope, key), True)
            self._refused |= {(scope, key): True} if not said else {}
            return not said

    def forget(self) -> None:
        """Asks again for what `remembered` gave: somebody else may have written it."""
        with self._lock:
            self._remembered.clear()

    def put(self, scope: str, key: str, value: Secret) -> None:
        """Writes a value over what was there."""
        self._service.put_secret(scope, key, string_value=value.reveal())
        with self._lock:
            self._remembered[scope, key] = value

    def delete(self, scope: str, key: str) -> None:
        """Deletes a secret; one that does not exist is fine."""
        optional(lambda: self._service.delete_secret(scope, key))
        with self._lock:
            self._remembered[scope, key] = None

    def delete_scope(self, scope: str) -> None:
        """Deletes a scope with all its secrets; one that does not exist is fine."""
        optional(lambda: self._service.delete_scope(scope))
        with self._lock:
            self._remembered |= {place: None for place in self._remembered if place[0] == scope}

    def granted(self, scope: str) -> dict[str, str]:
        """Who may do what: name of a user or group, or client id → READ, WRITE or MANAGE. Needs MANAGE."""
        items = self._service.list_acls(scope)
        return {str(item.principal): item.permission.value if item.permission else "" for item in items}

    def grant(self, scope: str, principal: str, permission: str) -> None:
        """Gives somebody this permission in place of the one that they had; those of others stay."""
        level = sdk_import.module("service.workspace").AclPermission(permission)
        self._service.put_acl(scope, principal, level)
