"""Asks one question by SQL; a refusal becomes an error that names the question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

from metamcp_deploy import knowledge
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql


def rows(
    connection: psycopg.Connection[Any], statement: LiteralString | sql.Composed, values: Any = None
) -> list[dict[str, Any]]:
    """What a statement gives, each row by the columns' names.

    Raises:
        DeployError: DATABASE_REFUSED with the server's words and SQLSTATE; DATABASE_UNREACHABLE where it went away.
    """
    import psycopg
    from psycopg.rows import dict_row

    try:
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, values).fetchall()
    except psycopg.Error as e:
        raise refused(e) from e


def execute(connection: psycopg.Connection[Any], statement: str) -> None:
    """Runs a statement that this tool put together, with its names quoted.

    Raises:
        DeployError: as `rows`.
    """
    import psycopg

    try:
        connection.execute(statement.encode())
    except psycopg.Error as e:
        raise refused(e) from e


def row(
    connection: psycopg.Connection[Any], statement: LiteralString | sql.Composed, values: Any = None
) -> dict[str, Any]:
    """The one row that a statement gives."""
    return rows(connection, statement, values)[0]


def refused(error: psycopg.Error) -> DeployError:
    """A failed statement, by its cause where that is known."""
    state = error.sqlstate
    known = knowledge.recognise("database", sqlstate=state, output=str(error)) if state else None
    hint = known.hint() if known else "Look at the words below; then run the same command again."
    words = str(error).strip()
    if state is None:
        return DeployError(
            Code.DATABASE_UNREACHABLE, "The database ended the connection.", hint=hint, detail=words
        )
    why = f": {known.title}" if known else ""
    return DeployError(
        Code.DATABASE_REFUSED,
        f"The database refused a statement ({state}){why}.",
        hint=hint,
        detail=f"{state}: {words}",
    )
