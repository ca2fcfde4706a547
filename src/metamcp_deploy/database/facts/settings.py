"""What the server says of itself and of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database.facts import asking

if TYPE_CHECKING:
    import psycopg

# The session's own default_transaction_read_only is this tool's; the database's and the role's stand in the catalogue.
_QUESTION = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
  pg_is_in_recovery() AS replica, pg_database_size(current_database()) AS bytes,
  current_setting('max_connections')::int AS most_connections,
  EXISTS (SELECT FROM pg_db_role_setting s
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND s.setrole IN (0, coalesce((SELECT oid FROM pg_roles WHERE rolname = %s), 0))
      AND 'default_transaction_read_only=on' = ANY(s.setconfig))
    OR EXISTS (SELECT FROM pg_settings WHERE name = 'default_transaction_read_only' AND boot_val <> reset_val
      AND source NOT IN ('session', 'database', 'user', 'database user', 'client'))  AS read_only,
  extract(epoch FROM now() - pg_postmaster_start_time())::float AS uptime
"""


@dataclass(frozen=True)
class Settings:
    """A server and one database of it.

    Attributes:
        version: as the server spells it.
        number: the same as a number (160004).
        replica: whether it is a standby, which takes no writes.
        read_only: whether sessions of the app begin read only, by the database, its role or the server.
        bytes: size of the database.
        most_connections: of the server.
        uptime: seconds since it started.
    """

    version: str
    number: int
    replica: bool
    read_only: bool
    bytes: int
    most_connections: int
    uptime: float

    @property
    def major(self) -> int:
        """The major version."""
        return self.number // 10_000


def settings(connection: psycopg.Connection[Any], app: str) -> Settings:
    """What counts for a login of the role `app`."""
    return Settings(**asking.row(connection, _QUESTION, (app,)))
