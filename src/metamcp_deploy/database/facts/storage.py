"""What MetaMCP's data take: sizes, rows, dead rows, and how often the memory answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database.facts import asking

if TYPE_CHECKING:
    import psycopg

_TABLES = """
SELECT c.relname::text AS name, pg_total_relation_size(c.oid) AS bytes,
  greatest(coalesce(s.n_live_tup, 0), c.reltuples::bigint, 0) AS rows, coalesce(s.n_dead_tup, 0) AS dead,
  greatest(s.last_vacuum, s.last_autovacuum)::text AS vacuumed
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'm') ORDER BY 2 DESC, 1
"""
_HITS = """
SELECT blks_hit AS hits, blks_hit + blks_read AS blocks, deadlocks, xact_rollback AS rollbacks
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True)
class Table:
    """A table of the schema; rows are the server's estimate, `vacuumed` is when it last cleaned up."""

    name: str
    bytes: int
    rows: int
    dead: int
    vacuumed: str | None


@dataclass(frozen=True)
class Storage:
    """Sizes.

    Attributes:
        tables: of the schema, the largest first, indexes included.
        cache_hits: part of the blocks that memory had, 0 to 1, since the statistics began; None without any.
        deadlocks: since then.
        rollbacks: since then.
    """

    tables: tuple[Table, ...]
    cache_hits: float | None
    deadlocks: int
    rollbacks: int

    @property
    def bytes(self) -> int:
        """Of the schema."""
        return sum(table.bytes for table in self.tables)

    @property
    def dead(self) -> int:
        """Rows that are gone and still take room."""
        return sum(table.dead for table in self.tables)


def storage(connection: psycopg.Connection[Any], schema: str) -> Storage:
    """Of one schema; two statements."""
    tables = tuple(Table(**one) for one in asking.rows(connection, _TABLES, (schema,)))
    seen = asking.row(connection, _HITS)
    hits, blocks = seen.pop("hits"), seen.pop("blocks")
    return Storage(tables, hits / blocks if blocks else None, **seen)
