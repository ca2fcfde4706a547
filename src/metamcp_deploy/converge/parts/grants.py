"""Permissions on app, database and secret scope: those that are missing are added, and nobody's are taken away.

What others granted stays, and so does what the app's own principal has: both are why nothing is ever replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from metamcp_deploy import events
from metamcp_deploy.config.declaration import PRINCIPALS
from metamcp_deploy.converge.part import Part
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import ELSEWHERE, Action, Change
from metamcp_deploy.target.access_lists import AccessList, Granted
from metamcp_deploy.target.desired import Desired

_STRENGTH = {"CAN_USE": 1, "READ": 1, "WRITE": 2, "CAN_MANAGE": 3, "MANAGE": 3, "IS_OWNER": 4}


@dataclass(frozen=True)
class Grant:
    """Somebody's level on a thing; `principal` is the kind of principal, as databricks.yml spells it."""

    on: AccessList
    principal: str
    who: str
    level: str

    def held(self, granted: Granted) -> bool:
        """Whether what is granted includes it."""
        levels = granted.get((self.principal, self.who), set())
        return any(_STRENGTH.get(level, 0) >= _STRENGTH[self.level] for level in levels)

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.level} on {self.on.label} {self.on.name} for {self.who}"


class Grants(Part):
    """All permissions that the settings name; things without any cost no request."""

    missing: tuple[Grant, ...] = ()

    def look(self) -> None:
        """One request for each thing with permissions."""
        self.wanted = tuple(wanted(self.context.desired))
        granted = {on.api: self._granted(on) for on, _ in _by_thing(self.wanted)}
        self.missing = tuple(g for g in self.wanted if not g.held(granted[g.on.api]))
        if lacking := [g for g in self.missing if not g.on.managed]:
            raise DeployError(
                Code.PERMISSION_DENIED,
                f"There is no {', no '.join(g.shown for g in lacking)}, and the settings say that it is managed "
                "elsewhere.",
                hint="Ask its owner to grant that, or remove it from the permissions in metamcp.yaml.",
            )

    def _granted(self, on: AccessList) -> Granted:
        """Who holds what; nobody anything on a thing that does not exist yet."""
        try:
            return on.granted(self.context.workspace)
        except DeployError as e:
            if e.code is not Code.NOT_FOUND:
                raise
            return {}

    def changes(self) -> tuple[Change, ...]:
        """Each grant."""
        return tuple(
            Change(
                Action.CREATE if g in self.missing else Action.KEEP if g.on.managed else Action.CHECK,
                "permission",
                g.shown,
                "" if g.on.managed else ELSEWHERE,
            )
            for g in self.wanted
        )

    def apply(self) -> None:
        """Adds what is missing; all of a thing in one request where its API has one for that."""
        for on, grants in _by_thing(self.missing):
            on.grant(self.context.workspace, [(g.principal, g.who, g.level) for g in grants])
        for g in self.wanted:
            events.emit(events.Changed("created" if g in self.missing else "kept", "permission", g.shown))


def wanted(desired: Desired) -> list[Grant]:
    """The grants of a target."""
    return [
        Grant(on, principal, entry[principal], entry["level"])
        for on in desired.access_lists
        for entry in on.permissions
        for principal in PRINCIPALS
        if principal in entry
    ]


def _by_thing(grants: Sequence[Grant]) -> list[tuple[AccessList, list[Grant]]]:
    """In the order of the APIs' names; a target has one thing behind each."""
    grouped = groupby(sorted(grants, key=lambda g: g.on.api), key=lambda g: g.on)
    return [(on, list(of_thing)) for on, of_thing in grouped]
