"""A target, and what is known of it. Each fact is asked for once, by whoever needs it first."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from metamcp_deploy import health
from metamcp_deploy.config.project import Project
from metamcp_deploy.events import LogLine
from metamcp_deploy.knowledge.place import DEFAULT, Place
from metamcp_deploy.preflight.access import Person
from metamcp_deploy.preflight.scene import wanted
from metamcp_deploy.target import databases, session
from metamcp_deploy.target.databases import Database
from metamcp_deploy.target.desired import Desired

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

T = TypeVar("T")

ANSWER_SECONDS = 4.0  # for one answer of the workspace: a check has five
LOG_LINES = 2000


def once(ask: Callable[[Any], T]) -> Callable[[Any], T]:
    """A fact: computed by the first thread that asks; the others wait for its value or its failure."""
    name = ask.__name__

    @functools.wraps(ask)
    def asked(self: Subject) -> T:
        with self.lock_of(name):
            if name not in self.facts:
                try:
                    self.facts[name] = (ask(self), None)
                except Exception as e:
                    self.facts[name] = (None, e)
        value, failure = self.facts[name]
        if failure is not None:
            raise failure
        return cast(T, value)

    return asked


class Subject:
    """A target, looked at once.

    Args:
        load: gives the project with the target's settings; raises what is wrong with them.
    """

    def __init__(self, load: Callable[[], Project]) -> None:
        self._load = load
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self.facts: dict[str, tuple[Any, Exception | None]] = {}

    def lock_of(self, fact: str) -> threading.Lock:
        """Held while the fact is asked for."""
        with self._guard:
            return self._locks.setdefault(fact, threading.Lock())

    @property
    def place(self) -> Place:
        """For the commands of a fix; the default one while the settings cannot be read."""
        known = self.facts.get("project")
        return Place.of(known[0]) if known and known[1] is None else DEFAULT

    @once
    def project(self) -> Project:
        """The target's settings, with waits that are short enough for a check."""
        project = self._load()
        stated = project.settings
        short = min(ANSWER_SECONDS, stated.waits.answer)
        waits = stated.waits.model_copy(update={"answer": short, "throttled": short, "outage": short})
        return replace(project, settings=stated.model_copy(update={"waits": waits}))

    @once
    def workspace(self) -> Workspace:
        """Logged in."""
        return session.connect(self.project())

    @once
    def person(self) -> Person:
        """Who is logged in."""
        return Person.of(self.workspace().identity)

    @once
    def app(self) -> App:
        """The app.

        Raises:
            DeployError: NOT_FOUND.
        """
        return self.workspace().apps.get(self.project().settings.app.name)

    @once
    def desired(self) -> Desired:
        """How the target should be; where only the app is known, as it states."""
        return wanted(self.project(), self.app(), self.person().name)

    @once
    def database(self) -> Database:
        """The one that is attached to the app."""
        return databases.attached(self.app().resources)

    @once
    def health(self) -> health.Report:
        """What the app answers."""
        workspace = self.workspace()
        http = workspace.network.requests_session()
        return health.check(self.app().url, workspace.app_headers, http, clock=workspace.clock)

    @once
    def log(self) -> tuple[LogLine, ...]:
        """The last lines of the app's log, since its last start."""
        from metamcp_deploy.workspace.logs import Logs

        lines = Logs(self.workspace(), self.app().name).lines(last=LOG_LINES)
        return since_start(tuple(lines))


def since_start(lines: tuple[LogLine, ...]) -> tuple[LogLine, ...]:
    """The lines since the launcher last took its port; all where that is further back."""
    starts = [n for n, line in enumerate(lines) if _STARTS in line.message]
    return lines[starts[-1] :] if starts else lines


_STARTS = "Listening on "  # the launcher's first line
