"""Who is to hold which level on a thing, and how its API reads and grants that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy.config.declaration import PRINCIPALS, Permission

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace

Granted = Mapping[tuple[str, str], set[str]]  # (kind of principal, name) → levels


@dataclass(frozen=True)
class AccessList:
    """The access list of one thing, behind the permissions API.

    Attributes:
        api: what the permissions API calls this kind of thing.
        label: what people call it.
        name: of the thing, as the API wants it.
        managed: False when somebody else grants.
        permissions: `level` and one principal each, as databricks.yml spells them.
    """

    api: str
    label: str
    name: str
    managed: bool
    permissions: tuple[dict[str, str], ...]

    def granted(self, workspace: Workspace) -> Granted:
        """Who holds what.

        Raises:
            DeployError: NOT_FOUND without the thing.
        """
        return workspace.permissions.granted(self.api, self.name)

    def grant(self, workspace: Workspace, grants: Sequence[tuple[str, str, str]]) -> None:
        """Adds grants (kind of principal, name, level) and leaves all others."""
        entries = [{principal: who, "permission_level": level} for principal, who, level in grants]
        workspace.permissions.grant(self.api, self.name, entries)


@dataclass(frozen=True)
class ScopeAccessList(AccessList):
    """The access list of a secret scope, which has an API of its own: its entries name people and groups alike."""

    def granted(self, workspace: Workspace) -> Granted:
        """As of any access list."""
        found = workspace.secrets.granted(self.name)
        return {(principal, who): {level} for who, level in found.items() for principal in PRINCIPALS}

    def grant(self, workspace: Workspace, grants: Sequence[tuple[str, str, str]]) -> None:
        """One request for each grant."""
        for _, who, level in grants:
            workspace.secrets.grant(self.name, who, level)


def spelled(permissions: Sequence[Permission]) -> tuple[dict[str, str], ...]:
    """Permissions of the settings as databricks.yml spells them."""
    return tuple(p.model_dump(exclude_none=True) for p in permissions)
