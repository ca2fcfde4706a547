"""A database for one check, with a role that may do what an app's may: connect, and create schemas."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import Cluster, binaries

_ROLE, _DATABASE = "app", "metamcp"
_STATEMENTS = (
    "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {password}",
    "CREATE DATABASE {database}",
    "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
    "GRANT CONNECT, CREATE ON DATABASE {database} TO {role}",
)


def available() -> str | None:
    """The name of the database that a check can have, `PostgreSQL 16`; None without the extra `local`."""
    try:
        binaries.installed()
    except DeployError as e:
        if e.code is not Code.EXTRA_MISSING:
            raise
        return None
    return f"PostgreSQL {binaries.MAJOR}" if importlib.util.find_spec("psycopg") else None


@contextmanager
def database() -> Iterator[dict[str, str]]:
    """A new database on a server of its own, as the `PG*` variables of an app; both are gone afterwards.

    Raises:
        DeployError: POSTGRES_FAILED.
    """
    with Cluster.throwaway() as cluster:
        password = secrets.token_urlsafe(24)
        _make(cluster, password)
        yield {
            "PGHOST": str(cluster.socket_folder),
            "PGPORT": "5432",
            "PGDATABASE": _DATABASE,
            "PGUSER": _ROLE,
            "PGPASSWORD": password,
            "PGSSLMODE": "disable",
        }


def _make(cluster: Cluster, password: str) -> None:
    import psycopg
    from psycopg import sql

    names = {"role": sql.Identifier(_ROLE), "database": sql.Identifier(_DATABASE)}
    with psycopg.connect(cluster.uri().reveal(), autocommit=True) as connection:
        for text in _STATEMENTS:
            connection.execute(sql.SQL(text).format(**names, password=sql.Literal(password)))
