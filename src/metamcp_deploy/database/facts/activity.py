"""What goes on in the database: sessions, transactions, and who waits for whom."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database.facts import asking

if TYPE_CHECKING:
    import psycopg

_LONGEST = 200  # characters of a statement

_SESSIONS = """
SELECT a.pid, a.usename::text AS role, a.application_name AS application, coalesce(a.state, '') AS state,
  host(a.client_addr) AS client, a.query AS statement,
  extract(epoch FROM a.backend_start)::float AS started,
  extract(epoch FROM clock_timestamp() - a.backend_start)::float AS age,
  extract(epoch FROM clock_timestamp() - a.xact_start)::float AS transaction_age,
  extract(epoch FROM clock_timestamp() - a.state_change)::float AS state_age,
  coalesce(a.wait_event_type, '') AS waits_for, pg_blocking_pids(a.pid) AS blockers
FROM pg_stat_activity a
WHERE a.backend_type = 'client backend' AND a.datname = current_database() AND a.pid <> pg_backend_pid()
ORDER BY a.backend_start
"""

_COUNTS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS server_connections,
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS server_most,
  coalesce((SELECT rolconnlimit FROM pg_roles WHERE rolname = %(app)s), -1) AS role_most,
  (SELECT count(*) FROM pg_stat_activity WHERE usename = %(app)s) AS role_connections,
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_most
"""

# Literals may be anybody's data: strings (plain, escaped, dollar-quoted), bits, numbers; comments may hold them, too.
_LITERAL = re.compile(
    r"""
      (?P<dollar>\$(\w*)\$.*?(?:\$\2\$|\Z))
    | (?P<text>\b[Ee]'(?:[^'\\]|''|\\.)*(?:'|\Z) | (?:\b[BbXxNn]|\b[Uu]&)?'(?:[^']|'')*(?:'|\Z))
    | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<name>"(?:[^"]|"")*")
    | (?P<number>(?<![\w$.])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Session:
    """A connection of somebody.

    Attributes:
        pid: of its server process.
        role: logged in as.
        application: as it calls itself.
        state: active, idle, idle in transaction, ...; empty where this login may not see it.
        client: address, where the server knows it.
        statement: the last one, without its literals; empty where this login may not see it.
        started: when it logged in, in seconds since the epoch: with `pid` it is one session and no other.
        age: seconds since the login.
        transaction_age: seconds since its transaction began; None outside of one.
        state_age: seconds in this state.
        waits_for: kind of what it waits for (Lock, Client, ...).
        blockers: pids that it waits for.
    """

    pid: int
    role: str
    application: str
    state: str
    client: str | None
    statement: str
    started: float
    age: float
    transaction_age: float | None
    state_age: float | None
    waits_for: str
    blockers: tuple[int, ...]


@dataclass(frozen=True)
class Lock:
    """A session that waits for a lock, and one that holds it; None where the holder is not seen (it just ended)."""

    waiting: Session
    pid: int
    holder: Session | None


@dataclass(frozen=True)
class Activity:
    """Sessions in the database.

    Attributes:
        app: the app's role.
        sessions: all but this one, oldest first.
        server_connections: in all databases of the server.
        server_most: that the server takes.
        role_connections: of the app's role, in all databases.
        role_most: that the role may have; -1 for no limit.
        database_most: that the database takes; -1 for no limit.
    """

    app: str
    sessions: tuple[Session, ...]
    server_connections: int
    server_most: int
    role_connections: int
    role_most: int
    database_most: int

    @property
    def of_app(self) -> tuple[Session, ...]:
        """The app's own."""
        return tuple(one for one in self.sessions if one.role == self.app)

    @property
    def hidden(self) -> bool:
        """Whether there are sessions whose state this login may not see."""
        return any(not one.state for one in self.sessions)

    @property
    def most(self) -> int:
        """Connections that the app can have: the least of the limits."""
        return min(n for n in (self.role_most, self.database_most, self.server_most) if n >= 0)

    @property
    def oldest_transaction(self) -> Session | None:
        """The session whose transaction is open for longest."""
        open_ = [one for one in self.sessions if one.transaction_age is not None]
        return max(open_, key=lambda one: one.transaction_age or 0.0, default=None)

    @property
    def locks(self) -> tuple[Lock, ...]:
        """Who waits for whom, the longest wait first."""
        by_pid = {one.pid: one for one in self.sessions}
        waiting = sorted((s for s in self.sessions if s.blockers), key=lambda s: -(s.state_age or 0.0))
        return tuple(Lock(one, pid, by_pid.get(pid)) for one in waiting for pid in one.blockers)


def activity(connection: psycopg.Connection[Any], app: str) -> Activity:
    """What the app's role `app` and others do now; two statements."""
    counts = asking.row(connection, _COUNTS, {"app": app})
    sessions = tuple(
        Session(
            **{**one, "statement": without_literals(one["statement"]), "blockers": tuple(one["blockers"])}
        )
        for one in asking.rows(connection, _SESSIONS)
    )
    return Activity(app=app, sessions=sessions, **counts)


_HELD = """
SELECT l.pid, l.mode, l.granted, coalesce(c.relname::text, l.locktype) AS what
FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation AND l.locktype = 'relation'
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid <> pg_backend_pid() AND ((n.nspname = %s AND c.relkind IN ('r', 'p')) OR l.locktype = 'advisory')
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.pid, 4, 2
"""


@dataclass(frozen=True)
class Held:
    """A lock on a table of the schema, or one that a program made up (advisory), held or waited for."""

    pid: int
    mode: str
    granted: bool
    what: str


def held(connection: psycopg.Connection[Any], schema: str) -> tuple[Held, ...]:
    """Locks on the tables of a schema, and advisory ones."""
    return tuple(Held(**one) for one in asking.rows(connection, _HELD, (schema,)))


def without_literals(statement: str | None) -> str:
    """A statement without the data in it, in one line and cut; empty for one that may not be seen."""
    if not statement or statement == "<insufficient privilege>":
        return ""
    text = _LITERAL.sub(lambda m: m[0] if m["name"] else " " if m["comment"] else "?", statement)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
