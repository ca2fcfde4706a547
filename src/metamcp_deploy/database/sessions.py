"""`db sessions --end PID`: ends sessions of the app's database, those and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database.facts import Activity, Session, asking
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    import psycopg


def named(activity: Activity, pids: Sequence[int]) -> list[Session]:
    """The sessions of these pids.

    Raises:
        DeployError: NOT_FOUND for one that is no session of this database.
    """
    by_pid = {one.pid: one for one in activity.sessions}
    if missing := [pid for pid in pids if pid not in by_pid]:
        raise DeployError(
            Code.NOT_FOUND,
            f"The database has no session {', '.join(map(str, missing))}.",
            hint="See which there are: metamcp-deploy db sessions",
        )
    return [by_pid[pid] for pid in pids]


def described(one: Session) -> str:
    """A session in one line."""
    return (
        f"{one.pid}  {one.role}  {one.application or '-'}  {one.state or 'hidden'}  {one.statement}".rstrip()
    )


def end(connection: psycopg.Connection[Any], sessions: Sequence[Session]) -> None:
    """Ends them, each only while it is the one that was seen: a pid may be given to another.

    Raises:
        DeployError: DATABASE_REFUSED where this login may not: it needs the session's own role, or pg_signal_backend.
    """
    statement = """SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
        WHERE pid = %s AND datname = current_database()
        AND extract(epoch FROM backend_start)::float = %s"""
    for one in sessions:
        asking.rows(connection, statement, (one.pid, one.started))
