"""What a schema holds, to compare two copies: each table's rows, counted and summed up regardless of their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metamcp_deploy.database.facts import asking

if TYPE_CHECKING:
    import psycopg

# So that a row's text is the same on two servers.
_SESSION = (
    "SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, YMD', false),"
    " set_config('IntervalStyle', 'postgres', false), set_config('extra_float_digits', '1', false),"
    " set_config('bytea_output', 'hex', false)"
)
_TABLES = """SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'm') ORDER BY 1"""


def of(connection: psycopg.Connection[Any], schema: str) -> dict[str, list[str]]:
    """Table → number of rows, and the sum of the rows' hashes.

    Raises:
        DeployError: DATABASE_REFUSED, where this login may not read a table.
    """
    from psycopg import sql

    asking.rows(connection, _SESSION)
    found: dict[str, list[str]] = {}
    for (name,) in (tuple(one.values()) for one in asking.rows(connection, _TABLES, (schema,))):
        statement = sql.SQL(
            "SELECT count(*)::text AS rows, coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text AS sum"
            " FROM {} AS t"
        ).format(sql.Identifier(schema, name))
        row = asking.row(connection, statement)
        found[name] = [row["rows"], row["sum"]]
    return found
