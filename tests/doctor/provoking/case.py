"""The table of what is provoked: each row a function that brings one failure about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.doctor.provoking.scene import Scene

Act = Callable[[Scene], None]


@dataclass(frozen=True)
class Case:
    """A failure and how it is brought about.

    Attributes:
        name: of the row: what is done.
        id: of the diagnosis that `doctor` must name first.
        provoke: does it, and registers with `Scene.later` what undoes it.
        heals: whether the commands of the fix end it by themselves.
        by_hand: what the fix asks a person for, before its commands.
        note: whether the app itself is well, so that a note says it.
        only: `sample` or `upstream`, where the other one cannot show it.
    """

    name: str
    id: str
    provoke: Act
    heals: bool
    by_hand: Act | None
    note: bool
    only: str


CASES: dict[str, Case] = {}


def case(
    id_: str,
    *,
    heals: bool = False,
    by_hand: Act | None = None,
    note: bool = False,
    only: str = "",
) -> Callable[[Act], Act]:
    """Declares a row; its name is the function's."""

    def declare(act: Act) -> Act:
        called = act.__name__.replace("_", "-")
        assert called not in CASES, called
        CASES[called] = Case(called, id_, act, heals, by_hand, note, only)
        return act

    return declare
