"""What an act would do in a workspace, as data: every `--plan` gives a `Plan`, and acts carry one out."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

OURS = "metamcp-deploy"  # the owner of what this target made
ELSEWHERE = "managed elsewhere"  # of what the settings say is not ours


class Action(StrEnum):
    """What happens to a thing."""

    CREATE = "create"
    CHANGE = "change"
    RECREATE = "recreate"
    ADOPT = "adopt"  # made by somebody else, used and changed from now on
    START = "start"
    STOP = "stop"
    WAIT = "wait"
    UPLOAD = "upload"
    DEPLOY = "deploy"
    DELETE = "delete"
    KEEP = "keep"  # is as it should be
    CHECK = "check"  # not ours: only looked at


# How terraform and the official command line mark them.
_MARKS = {
    Action.CREATE: "+",
    Action.UPLOAD: "+",
    Action.CHANGE: "~",
    Action.ADOPT: "~",
    Action.START: "~",
    Action.STOP: "~",
    Action.WAIT: "~",
    Action.DEPLOY: "~",
    Action.RECREATE: "±",
    Action.DELETE: "-",
    Action.KEEP: "=",
    Action.CHECK: "=",
}
_SAME = frozenset({Action.KEEP, Action.CHECK})


@dataclass(frozen=True)
class Difference:
    """One field that differs.

    Attributes:
        field: dotted.
        before: what the workspace has; never a secret's value.
        after: what it will have.
        by: who made the difference: the settings changed, or the workspace was changed by hand (drift).
    """

    field: str
    before: Any
    after: Any
    by: Literal["settings", "hand"] = "settings"


@dataclass(frozen=True)
class Change:
    """What happens to one thing.

    Attributes:
        action: see Action.
        kind: `app`, `Lakebase project`, `secret`, `release`, ...
        name: of the thing.
        owner: in words: `metamcp-deploy`, `ada@example.com`, `managed elsewhere`; empty where nobody knows.
        reason: why, in words; may be empty.
        differences: the fields.
    """

    action: Action
    kind: str
    name: str
    owner: str = ""
    reason: str = ""
    differences: tuple[Difference, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether carrying it out changes anything."""
        return self.action not in _SAME


@dataclass(frozen=True)
class Plan:
    """All changes of an act, in the order in which they are carried out."""

    changes: tuple[Change, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything would be done."""
        return any(change.differs for change in self.changes)

    def __add__(self, other: Plan) -> Plan:
        return Plan(self.changes + other.changes)

    def of(self, *kinds: str) -> tuple[Change, ...]:
        """The changes of things of these kinds."""
        return tuple(change for change in self.changes if change.kind in kinds)

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`: `differs`, `counts` by action, and `changes`."""
        counts = Counter(change.action.value for change in self.changes)
        return {
            "differs": self.differs,
            "counts": {action.value: counts[action.value] for action in Action if counts[action.value]},
            "changes": [{**asdict(change), "action": change.action.value} for change in self.changes],
        }

    def lines(self) -> list[str]:
        """For people: a line for each thing, its differences below it, and a last line with the counts."""
        lines = []
        for change in self.changes:
            words = [_MARKS[change.action], f"{change.action.value:<8}", change.kind, change.name]
            notes = [change.owner if change.owner != OURS else "", change.reason]
            lines.append(" ".join(words) + "".join(f"  ({text})" for text in notes if text))
            lines += [f"      {_described(difference)}" for difference in change.differences]
        return [*lines, "", self.summary()]

    def summary(self) -> str:
        """The counts in one line."""
        counts = Counter(change.action for change in self.changes)
        if not self.differs:
            return f"Nothing to do: {len(self.changes)} things are as they should be."
        return (
            "Plan: "
            + ", ".join(
                f"{counts[a]} to {a.value}" if a not in _SAME else f"{counts[a]} {_KEPT[a]}"
                for a in Action
                if counts[a]
            )
            + "."
        )


_KEPT = {Action.KEEP: "kept", Action.CHECK: "only looked at"}


def _described(difference: Difference) -> str:
    hand = "  (changed by hand)" if difference.by == "hand" else ""
    return f"{difference.field}: {_shown(difference.before)} → {_shown(difference.after)}{hand}"


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)
