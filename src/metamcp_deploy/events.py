"""Progress events of work modules. These never print: a listener (the console, a test) decides what to show.

Listeners are called in the thread that emits, in the order in which they were added. An event is data; `console` turns
it into text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage runs, and why (`first run`, "`node` version changed", ...)."""

    stage: str
    reason: str


@dataclass(frozen=True)
class StageFinished(Event):
    """A stage ended well after `seconds`; `summary` is one line for people."""

    stage: str
    seconds: float
    summary: str = ""


@dataclass(frozen=True)
class StageSkipped(Event):
    """A stage's outputs are up to date."""

    stage: str
    reason: str


@dataclass(frozen=True)
class Progress(Event):
    """What is under way now. Replaces the progress before it; `done` of `total` in `unit` where that is known."""

    text: str
    done: float | None = None
    total: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Output(Event):
    """One line of another program's own output (`source` names the program), without its line end."""

    source: str
    line: str


@dataclass(frozen=True)
class Note(Event):
    """A fact worth keeping on the screen ("v2.4.22 is commit 32b6e98")."""

    text: str


@dataclass(frozen=True)
class Changed(Event):
    """A thing in a workspace: `action` is created, changed, kept, sent, started, deleted."""

    action: str
    kind: str
    name: str


@dataclass(frozen=True)
class Warned(Event):
    """Something the user should know but that stops nothing."""

    text: str
    hint: str = ""


@dataclass(frozen=True)
class LogLine(Event):
    """One line of a deployed app's log; `timestamp` in seconds since the epoch, None when the line had none."""

    source: str
    message: str
    timestamp: float | None = None
    fields: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]
_listeners: list[Listener] = []
_lock = threading.Lock()


def emit(event: Event) -> None:
    """Tells all listeners. Without a listener it does nothing."""
    with _lock:
        current = tuple(_listeners)
    for listener in current:
        listener(event)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Adds a listener for the time of the block."""
    with _lock:
        _listeners.append(listener)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(listener)
