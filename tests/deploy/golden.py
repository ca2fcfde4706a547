"""The requests of an act, as its golden file lists them: method and path with names and ids masked.

They are read from the embedded workspace's record. Requests of several threads at once are listed in alphabetical
order. What is asked repeatedly while something is waited for stands there once, after `(wait)`, and does not count; the
app's log and the lock's renewals are not among them, as they depend on time. Each request names its workspace.
UPDATE_GOLDEN=1 in the environment writes the files anew.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from metamcp_deploy.config.project import Project

FOLDER = Path(__file__).parent / "golden"
_WAIT = "(wait) "
_FIRST = "GET /.well-known/databricks-config"
# What runs beside an act and asks at times that nobody can foresee: the app's log, the lock's renewal.
_ASIDE = ("app-log", "lock")
_IDS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "{id}"),
    (re.compile(r"\d{8}T[\d.]+Z-[0-9a-f]+"), "{time}-{id}"),
    (re.compile(r"(?<=/deployments/)[0-9a-f]{16,}"), "{id}"),
    (re.compile(r"(?<=/releases/)[0-9a-f]{16}"), "{release}"),
    (re.compile(r"(?<=/.apps/)[0-9a-f]{32}"), "{id}"),
)


class Notes(logging.Handler):
    """Notes in each HTTP request's id which thread sends it, and whether that thread waits for something."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.act = uuid.uuid4().hex
        self.waiting: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Follows the log of `poll`."""
        if record.msg == "waiting for %s":
            self.waiting.add(threading.get_ident())
        elif record.msg == "no longer waiting for %s":
            self.waiting.discard(threading.get_ident())

    def id(self) -> str:
        """Of the next request of this thread."""
        waiting = "waiting" if threading.get_ident() in self.waiting else ""
        return f"{self.act}/{threading.current_thread().name}/{waiting}"


@contextmanager
def noted() -> Iterator[Notes]:
    """The HTTP requests of the block carry notes."""
    notes, send = Notes(), requests.Session.send
    log = logging.getLogger("metamcp_deploy.workspace")

    def sent(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        request.headers["X-Request-Id"] = notes.id()
        return send(self, request, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", sent)
        before = log.level
        log.setLevel(logging.DEBUG)
        log.addHandler(notes)
        try:
            yield notes
        finally:
            log.removeHandler(notes)
            log.setLevel(before)


def lines(notes: Notes, project: Project, user: str) -> list[str]:
    """As in a golden file, from the embedded workspace's record."""
    found: list[str] = []
    beside: list[str] = []
    for request in _recorded(project.local, notes.act):
        _, thread, waiting = request["id"].split("/")
        if thread.startswith(_ASIDE) or request["path"].startswith("/oidc/"):
            continue
        named = f" {request['file']}" if "file" in request else ""
        line = _masked(
            f"{_WAIT if waiting else ''}{request['method']} {unquote(request['path'])}{named}", project, user
        )
        if line == _FIRST and _FIRST in found:
            continue  # the SDK's login asks again
        if thread != "MainThread":
            beside.append(line)
            continue
        found += _sorted(beside)
        beside = []
        if not (found and found[-1] == line and line.startswith(_WAIT)):
            found.append(line)
    return found + _sorted(beside)


def _recorded(folder: Path, act: str) -> list[dict[str, Any]]:
    files = [folder / name for name in ("requests.old.jsonl", "requests.jsonl")]
    text = "".join(path.read_text() for path in files if path.exists())
    found = [json.loads(line) for line in text.splitlines() if act in line]
    for request in found:
        if request["path"].startswith("/api/"):
            assert request.get("workspace"), f"{request['path']} names no workspace"
    return found


def counted(lines: list[str]) -> int:
    """How many requests they are, waiting aside."""
    return sum(not line.startswith(_WAIT) for line in lines)


def _sorted(beside: list[str]) -> list[str]:
    polls = {line for line in beside if line.startswith(_WAIT)}
    return sorted([*(line for line in beside if line not in polls), *polls])


def _masked(text: str, project: Project, user: str) -> str:
    for pattern, name in _IDS:
        text = pattern.sub(name, text)
    text = text.replace(user, "{me}")
    return re.sub(rf"\b{re.escape(project.settings.app.name)}\b", "{app}", text)


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
    with noted() as notes:
        act()
    found = lines(notes, project, user)
    check(name, found)
    return found
