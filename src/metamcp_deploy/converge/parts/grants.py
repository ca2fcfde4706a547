"""Permissions on app, database and secret scope: those that are missing are added, and nobody's are taken away.

What others granted stays, and so does what the app's own principal has: both are why nothing is ever replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy import events
from metamcp_deploy.config.model import PRINCIPALS
from metamcp_deploy.converge.part import Part
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import ELSEWHERE, Action, Change
from metamcp_deploy.target.databases import Database, Instance, Lakebase
from metamcp_deploy.target.desired import App, Desired, Secrets

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace

_STRENGTH = {"CAN_USE": 1, "READ": 1, "WRITE": 2, "CAN_MANAGE": 3, "MANAGE": 3, "IS_OWNER": 4}
# Kinds of the permissions API, and the scope, which has an API of its own.
_APP, _PROJECT, _INSTANCE, _SCOPE = "apps", "database-projects", "database-instances", "scope"
_WORDS = {
    _APP: "app",
    _PROJECT: "Lakebase project",
    _INSTANCE: "database instance",
    _SCOPE: "secret scope",
}


@dataclass(frozen=True)
class Grant:
    """Somebody's level on a thing: `kind` of the permissions API or `scope`, `principal` as in databricks.yml."""

    kind: str
    thing: str
    principal: str
    who: str
    level: str
    managed: bool

    def held(self, granted: Mapping[tuple[str, str], set[str]]) -> bool:
        """Whether what is granted includes it."""
        levels = granted.get((self.principal, self.who), set())
        return any(_STRENGTH.get(level, 0) >= _STRENGTH[self.level] for level in levels)

    @property
    def worded(self) -> str:
        """For people."""
        return f"{self.level} on {_WORDS[self.kind]} {self.thing} for {self.who}"


class Grants(Part):
    """All permissions that the settings name; nothing is asked for things without any."""

    missing: tuple[Grant, ...] = ()

    def look(self) -> None:
        """One request for each thing with permissions."""
        self.wanted = tuple(wanted(self.context.desired))
        things = sorted({(g.kind, g.thing) for g in self.wanted})
        granted = {(kind, thing): _granted(self.context.workspace, kind, thing) for kind, thing in things}
        self.missing = tuple(g for g in self.wanted if not g.held(granted[g.kind, g.thing]))
        if lacking := [g for g in self.missing if not g.managed]:
            raise DeployError(
                Code.PERMISSION_DENIED,
                f"There is no {', no '.join(g.worded for g in lacking)}, and the settings say that it is managed "
                "elsewhere.",
                hint="Ask its owner to grant that, or remove it from the permissions in metamcp.yaml.",
            )

    def changes(self) -> tuple[Change, ...]:
        """Each grant."""
        return tuple(
            Change(
                Action.CREATE if g in self.missing else Action.KEEP if g.managed else Action.CHECK,
                "permission",
                g.worded,
                "" if g.managed else ELSEWHERE,
            )
            for g in self.wanted
        )

    def apply(self) -> None:
        """Adds what is missing; all of a thing in one request where its API has one for that."""
        workspace = self.context.workspace
        for kind, thing in sorted({(g.kind, g.thing) for g in self.missing}):
            grants = [g for g in self.missing if (g.kind, g.thing) == (kind, thing)]
            if kind == _SCOPE:
                for g in grants:
                    workspace.secrets.grant(thing, g.who, g.level)
            else:
                entries = [{g.principal: g.who, "permission_level": g.level} for g in grants]
                workspace.permissions.grant(kind, thing, entries)
        for g in self.wanted:
            events.emit(events.Changed("created" if g in self.missing else "kept", "permission", g.worded))


def wanted(desired: Desired) -> list[Grant]:
    """The grants of a target."""
    database = desired.database
    things: list[tuple[str, str, App | Secrets | Database]] = [
        (_APP, desired.app.name, desired.app),
        (_SCOPE, desired.secrets.scope, desired.secrets),
    ]
    if isinstance(database, Lakebase):
        things.append((_PROJECT, database.project.removeprefix("projects/"), database))
    elif isinstance(database, Instance):
        things.append((_INSTANCE, database.name, database))
    return [
        Grant(kind, name, principal, entry[principal], entry["level"], thing.managed)
        for kind, name, thing in things
        for entry in thing.permissions
        for principal in PRINCIPALS
        if principal in entry
    ]


def _granted(workspace: Workspace, kind: str, thing: str) -> dict[tuple[str, str], set[str]]:
    """Who has what; nobody anything on a thing that is not there yet."""
    try:
        if kind != _SCOPE:
            return workspace.permissions.granted(kind, thing)
        found = workspace.secrets.granted(thing)
    except DeployError as e:
        if e.code is not Code.NOT_FOUND:
            raise
        return {}
    # A scope's list names people and groups alike.
    return {(principal, who): {level} for who, level in found.items() for principal in PRINCIPALS}
