"""A check: a question about one part of a deployment, and the checks without whose success it cannot be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from metamcp_deploy.doctor.finding import Finding
from metamcp_deploy.doctor.subject import Subject

SECONDS = 5.0


@dataclass(frozen=True)
class Check:
    """One question.

    Attributes:
        id: its name in `--only` and `--skip`, and its category in JSON.
        title: what it is about, for people.
        look: asks; gives what is wrong.
        needs: checks that come first: where one of them found an error, this one cannot be done.
        seconds: it ends by then, or is reported as silent.
        remote: it needs the network.
    """

    id: str
    title: str
    look: Callable[[Subject], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    seconds: float = SECONDS
    remote: bool = True
