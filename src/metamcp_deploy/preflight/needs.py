"""What a deployment needs, from `knowledge/preflight`: docs/permissions.md shows it, `preflight` fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from metamcp_deploy.knowledge.entry import Entry
from metamcp_deploy.knowledge.loading import folder


class State(StrEnum):
    """How it stands with a need; `unknown` is what only an attempt can show."""

    HAD = "had"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """How it stands with one need of one target.

    Attributes:
        id: of the need.
        step: of a deployment.
        needs: the permission or condition.
        state: had, missing, unknown.
        detail: what was seen.
        whom: who can give it.
        ask: what to write to them; empty where nothing is missing.
    """

    id: str
    step: str
    needs: str
    state: State
    detail: str
    whom: str
    ask: str

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return asdict(self)


@cache
def all_needs() -> Mapping[str, Entry]:
    """What is known of each need, by its id, in the order of a deployment's steps."""
    return {known.shows[0].state[0]: known for known in folder("preflight")}


def request(need: str, values: Mapping[str, object]) -> str:
    """What to write to whoever can give it."""
    return "\n".join(step.do or "" for step in all_needs()[need].steps(values))


def markdown() -> str:
    """The table as docs/permissions.md shows it."""
    rows = [("step", "needed", "how `preflight` detects it", "who can give it"), ("---",) * 4]
    for known in all_needs().values():
        assert known.need  # noqa: S101
        rows += [(known.need.step, known.need.needs, known.need.detected, known.fix[0].ask or "")]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
