"""Decides whether an access list permits an action to a person."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.preflight.needs import State

if TYPE_CHECKING:
    from metamcp_deploy.workspace.permissions import Granted

_LEVELS = ("CAN_READ", "CAN_USE", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE", "IS_OWNER")
_EVERYBODY = frozenset({"users", "account users"})


@dataclass(frozen=True)
class Seen:
    """What a look found out: how it stands, what was seen, and what to ask where that is not what the table says."""

    state: State
    detail: str
    ask: str | None = None

    def about(self, thing: str) -> Seen:
        """The same, saying what it is about."""
        return replace(self, detail=f"{thing}: {self.detail}")


@dataclass(frozen=True)
class Person:
    """Who deploys: name, groups as far as the workspace reports them, and whether a workspace admin."""

    name: str
    groups: frozenset[str] = frozenset()

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> Person:
        """Out of what SCIM says."""
        groups = identity.get("groups") or []
        return cls(str(identity["userName"]), frozenset(str(g.get("display")) for g in groups))

    @property
    def admin(self) -> bool:
        """Workspace admins hold CAN MANAGE on everything in the workspace."""
        return "admins" in self.groups

    @property
    def holder(self) -> dict[str, str]:
        """How an access list names them."""
        return {"user_name" if "@" in self.name else "service_principal_name": self.name}


def readable(person: Person, read: Callable[[], Granted]) -> Granted | None:
    """An access list, None where it may not be read; for a workspace admin, whom none limits, nothing is read.

    Raises:
        DeployError: those of the connection.
    """
    if person.admin:
        return None
    try:
        return read()
    except DeployError as e:
        if e.code not in (Code.PERMISSION_DENIED, Code.NOT_FOUND):
            raise
        return None


def judged(person: Person, granted: Granted | None, wanted: str) -> Seen:
    """Whether somebody holds a level (`CAN_USE`, `CAN_MANAGE`, ...) by an access list that `readable` gave."""
    if person.admin:
        return Seen(State.HAD, "you are a workspace admin")
    if granted is None:
        return Seen(State.UNKNOWN, "you may not read its access list")
    enough = set(_LEVELS[_LEVELS.index(wanted) :])
    holders = [(kind, name) for (kind, name), levels in granted.items() if levels & enough]
    for kind, name in holders:
        if kind == "group_name" and name in _EVERYBODY | person.groups:
            return Seen(State.HAD, f"the group {name} has it")
        if kind != "group_name" and name == person.name:
            return Seen(State.HAD, "you have it")
    groups = [name for kind, name in holders if kind == "group_name" and name != "admins"]
    if groups:  # the workspace need not report groups of groups
        return Seen(State.UNKNOWN, f"you have it if you are in {' or '.join(groups)}")
    names = " and ".join(name for _, name in holders)
    return Seen(State.MISSING, f"only {names} may" if names else "nobody may")


def granting(person: Person, kind: str, name: str, level: str) -> str:
    """The command by which an administrator grants a level."""
    body = json.dumps({"access_control_list": [{**person.holder, "permission_level": level}]})
    return f"databricks api patch /api/2.0/permissions/{kind}/{name} --json '{body}'"
