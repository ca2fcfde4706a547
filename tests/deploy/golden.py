"""The requests of an act, as its golden file lists them: method and path with names and ids masked.

Requests of several threads at once are listed in alphabetical order. What is asked again and again while something is
waited for stands there once, after `(wait)`, and does not count; the app's log is not among them. Written anew with
UPDATE_GOLDEN=1 in the environment.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy.config.project import Project
from metamcp_deploy.workspace import poll
from metamcp_deploy.workspace.transport import Transport

FOLDER = Path(__file__).parent / "golden"
_WAIT = "(wait) "
# What runs beside an act and asks at times that nobody can foresee: the app's log, the lock's renewal.
_ASIDE = ("app-log", "lock")
_IDS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "{id}"),
    (re.compile(r"\d{8}T[\d.]+Z-[0-9a-f]+"), "{time}-{id}"),
    (re.compile(r"(?<=/deployments/)[0-9a-f]{16,}"), "{id}"),
    (re.compile(r"(?<=/releases/)[0-9a-f]{16}"), "{release}"),
)


class Requests:
    """What was asked of the workspace's API, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []  # (thread, line)

    def add(self, method: str, path: str, request: Mapping[str, Any]) -> None:
        """Notes one request, with the workspace path that its query or form names."""
        named = (request.get("params") or {}).get("path") or (request.get("data") or {}).get("path")
        body = request.get("json") or {}
        named = named or (body.get("path") if isinstance(body, dict) else None)
        line = f"{method} {path}" + (f" {named}" if named else "")
        self.seen.append((threading.current_thread().name, _WAIT + line if _polls() else line))

    def lines(self, project: Project, user: str) -> list[str]:
        """As in a golden file."""
        found: list[str] = []
        beside: list[str] = []
        for thread, text in self.seen:
            if thread.startswith(_ASIDE):
                continue
            line = _masked(text, project, user)
            if thread != "MainThread":
                beside.append(line)
                continue
            found += _sorted(beside)
            beside = []
            if not (found and found[-1] == line and line.startswith(_WAIT)):
                found.append(line)
        return found + _sorted(beside)


def counted(lines: list[str]) -> int:
    """How many requests they are, waiting aside."""
    return sum(not line.startswith(_WAIT) for line in lines)


def _polls() -> bool:
    """Whether `workspace.clock.poll` asks."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code is poll.__code__:
            return True
    return False


def _sorted(beside: list[str]) -> list[str]:
    polls = {line for line in beside if line.startswith(_WAIT)}
    return sorted([*(line for line in beside if line not in polls), *polls])


def _masked(text: str, project: Project, user: str) -> str:
    for pattern, name in _IDS:
        text = pattern.sub(name, text)
    text = text.replace(user, "{me}")
    return re.sub(rf"\b{re.escape(project.settings.app.name)}\b", "{app}", text)


@contextmanager
def recorded() -> Iterator[Requests]:
    """The requests of the block; the lock's own renewals are not among them, as they depend on time."""
    found = Requests()
    send = Transport._sent

    def noted(self: Transport, method: str, path: str, request: Mapping[str, Any], *more: Any) -> Any:
        found.add(method, path, request)
        return send(self, method, path, request, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "_sent", noted)
        yield found


def check(name: str, lines: list[str]) -> None:
    """Compares with `golden/NAME.txt`."""
    path = FOLDER / f"{name}.txt"
    text = "\n".join(lines) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path}: UPDATE_GOLDEN=1 writes it anew"


Act = Callable[[], object]


def listed(name: str, project: Project, user: str, act: Act) -> list[str]:
    """Carries an act out, compares its requests with their golden file, and gives them."""
    with recorded() as found:
        act()
    lines = found.lines(project, user)
    check(name, lines)
    return lines
