"""A target, and what is known of it. Each fact is asked for once, by whoever needs it first."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from metamcp_deploy import health
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import DeployError
from metamcp_deploy.events import LogLine
from metamcp_deploy.knowledge.place import DEFAULT, Place
from metamcp_deploy.preflight.access import Person
from metamcp_deploy.preflight.scene import wanted
from metamcp_deploy.target import databases, locate, session
from metamcp_deploy.target.databases import Database
from metamcp_deploy.target.desired import Desired
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    import psycopg

    from metamcp_deploy.database import facts
    from metamcp_deploy.database.deployed import Deployed
    from metamcp_deploy.deployments.launcher_document import Document
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

T = TypeVar("T")

ANSWER_SECONDS = 4.0  # for one answer of the workspace: a check has five
DATABASE_SECONDS = 4.0  # to log in, and for each statement
LOG_LINES = 2000


def once(ask: Callable[[Any], T]) -> Callable[[Any], T]:
    """A fact: computed by the first thread that asks; the others wait for its value or its failure."""
    name = ask.__name__

    @functools.wraps(ask)
    def asked(self: Subject) -> T:
        return cast(T, self.remembered(name, lambda: ask(self)))

    return asked


class Subject:
    """A target, looked at once.

    Args:
        load: gives the project with the target's settings; raises what is wrong with them.
        stretch: multiplies the time that an answer may take.
    """

    def __init__(self, load: Callable[[], Project], stretch: float = 1.0) -> None:
        self._load = load
        self.stretch = stretch
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._facts: dict[str, tuple[Any, Exception | None]] = {}

    def lock_of(self, fact: str) -> threading.Lock:
        """Held while the fact is asked for."""
        with self._guard:
            return self._locks.setdefault(fact, threading.Lock())

    def remembered(self, fact: str, ask: Callable[[], Any]) -> Any:
        """What a fact was, asked for by the first thread; a failure is remembered, too."""
        with self.lock_of(fact):
            if fact not in self._facts:
                try:
                    self._facts[fact] = (ask(), None)
                except Exception as e:
                    self._facts[fact] = (None, e)
            value, failure = self._facts[fact]
        if failure is not None:
            raise failure
        return value

    @property
    def place(self) -> Place:
        """For the commands of a fix; the default one while the settings cannot be read."""
        known = self._facts.get("project")
        return Place.of(known[0]) if known and known[1] is None else DEFAULT

    @once
    def project(self) -> Project:
        """The target's settings, with waits that are short enough for a check."""
        project = self._load()
        stated = project.settings
        short = min(ANSWER_SECONDS * self.stretch, stated.waits.answer)
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
    def where(self) -> Site | Workspace:
        """The target's place; without a configuration and a known root, its workspace."""
        project = self.project()
        if not project.bare:
            return session.site(project, self.workspace())
        root = locate.root_of(self.app())
        return Site(project, self.workspace(), root) if root else self.workspace()

    @once
    def deployed(self) -> Deployed:
        """The app's side of its database."""
        from metamcp_deploy.database import deployed

        return deployed.look(self.where(), self.app())

    @once
    def connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        """To the app's database, as the caller, read only.

        Raises:
            DeployError: DATABASE_REFUSED, DATABASE_UNREACHABLE, ...
        """
        from metamcp_deploy.database.connection import connect

        seconds = DATABASE_SECONDS * self.stretch
        return connect(self.where(), self.app(), timeout=seconds, statement_timeout=seconds)

    def _asked(self, fact: Callable[[psycopg.Connection[Any]], T]) -> T | None:
        """A fact of the database; None where this login does not get in, of which the check `connection` says why."""
        try:
            connection = self.connection()
        except DeployError:
            return None
        with self.lock_of("statements"):
            return fact(connection)

    @once
    def identity(self) -> facts.Identity | None:
        """Who is logged in beside the app's role; None where nobody is."""
        from metamcp_deploy.database import facts

        return self._asked(lambda connection: facts.identity(connection, self.deployed().role))

    @once
    def tables(self) -> frozenset[str]:
        """Names of the tables and types that the release's migrations make; empty where it cannot be read."""
        from metamcp_deploy.database.deployed import objects_of

        return objects_of(self.deployed().migrations or ())

    @once
    def schema(self) -> facts.Schema | None:
        """MetaMCP's schema; None where nobody is logged in."""
        from metamcp_deploy.database import facts

        found = self.deployed()
        names = self.tables()
        return self._asked(lambda connection: facts.schema(connection, found.schema, found.role, names))

    @once
    def migrations(self) -> facts.Migrations | None:
        """The ledger against the release's journal; None where nobody is logged in."""
        from metamcp_deploy.database import facts

        schema = self.schema()
        if schema is None:
            return None
        journal = self.deployed().migrations
        return self._asked(lambda connection: facts.migrations(connection, schema, journal))

    @once
    def activity(self) -> facts.Activity | None:
        """What goes on in the database; None where nobody is logged in."""
        from metamcp_deploy.database import facts

        return self._asked(lambda connection: facts.activity(connection, self.deployed().role))

    @once
    def database_settings(self) -> facts.Settings | None:
        """What the server says of itself; None where nobody is logged in."""
        from metamcp_deploy.database import facts

        return self._asked(lambda connection: facts.settings(connection, self.deployed().role))

    @once
    def failed_servers(self) -> list[str]:
        """Names of the MCP servers whose state is ERROR; empty where this login may not read the table."""
        from psycopg import Error, sql

        schema = self.schema()
        if schema is None or not schema.exists:
            return []
        table = sql.Identifier(schema.name, "mcp_servers")
        statement = sql.SQL("SELECT name FROM {} WHERE error_status::text = 'ERROR' ORDER BY name").format(
            table
        )
        try:
            return (
                self._asked(lambda connection: [str(row[0]) for row in connection.execute(statement)]) or []
            )
        except Error:
            return []

    @once
    def inside(self) -> Document | None:
        """What the launcher says of itself; None where it does not tell this login, or is of an older release."""
        from metamcp_deploy.deployments import launcher_status

        return launcher_status.read(self.workspace(), self.app().url, ANSWER_SECONDS * self.stretch).document

    def close(self) -> None:
        """Ends the connection to the database, where there is one."""
        opened = self._facts.get("connection")
        if opened and opened[1] is None:
            opened[0].close()

    @once
    def health(self) -> health.Report:
        """What the app answers. The first request that is not answered is the last, so that a check has time for it."""
        workspace = self.workspace()
        http, seconds = workspace.network.requests_session(), ANSWER_SECONDS * self.stretch
        return health.check(
            self.app().url, workspace.app_headers, http, clock=workspace.clock, seconds=seconds
        )

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
