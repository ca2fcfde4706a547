"""Databases, roles and grants of the embedded Lakebase's cluster, made by SQL as its superuser."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import Cluster

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

SUPERUSER = "postgres"
MANAGERS = "databricks_superuser"


class Catalog:
    """What a cluster holds. It has to run."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    async def close_to_public(self) -> None:
        """Nobody connects to a database that comes with the cluster without a grant."""
        async with self.superuser() as connection:
            for database in (SUPERUSER, "template1"):
                await _close_to_public(connection, database)

    async def create_database(self, name: str) -> bool:
        """Makes sure of a database that nobody but the superuser can connect to; whether it is new."""
        from psycopg import sql

        async with self.superuser() as connection:
            found = await _exists(connection, sql.SQL("SELECT 1 FROM pg_database WHERE datname = %s"), name)
            if not found:
                # Closed until CONNECT is revoked: a new database is open to every role.
                text = "CREATE DATABASE {} ALLOW_CONNECTIONS false"
                await connection.execute(sql.SQL(text).format(sql.Identifier(name)))
            await _close_to_public(connection, name)
            text = "ALTER DATABASE {} ALLOW_CONNECTIONS true"
            await connection.execute(sql.SQL(text).format(sql.Identifier(name)))
        return not found

    async def has_database(self, name: str) -> bool:
        """Whether there is a database of that name."""
        from psycopg import sql

        async with self.superuser() as connection:
            return await _exists(connection, sql.SQL("SELECT 1 FROM pg_database WHERE datname = %s"), name)

    async def drop_database(self, name: str) -> None:
        """Deletes a database, if it is there, and ends the connections to it."""
        await self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    async def allow(self, name: str, *, logins: bool) -> None:
        """Opens a database for logins, or closes it and ends the connections to it."""
        await self._execute(f"ALTER DATABASE {{}} ALLOW_CONNECTIONS {str(logins).lower()}", name)
        if not logins:
            async with self.superuser() as connection:
                query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                await connection.execute(query, (name,))

    async def ensure_role(self, principal: str) -> None:
        """Makes sure of a role that can log in with the principal's credentials, and may do nothing by itself.

        One that is there stays as it is: somebody may have given it a password of its own (which ends credentials).
        """
        from psycopg import sql

        async with self.superuser() as connection:
            query = sql.SQL("SELECT 1 FROM pg_roles WHERE rolname = %s")
            if await _exists(connection, query, principal):
                return
            # The verifier, not the password: a statement that fails is written to the server's log.
            verifier = connection.pgconn.encrypt_password(
                self.internal_password(principal).reveal().encode(), principal.encode(), b"scram-sha-256"
            )
            text = "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}"
            statement = sql.SQL(text).format(sql.Identifier(principal), sql.Literal(verifier.decode()))
            await connection.execute(statement)

    async def make_superuser(self, principal: str) -> None:
        """Gives a role what whoever makes a project or an instance gets.

        Source: docs.databricks.com, Manage database permissions: a member of `databricks_superuser`, which inherits
        pg_read_all_data, pg_write_all_data and pg_monitor; CREATEDB, CREATEROLE. It is no member of others' roles.
        """
        from psycopg import sql

        await self.ensure_role(principal)
        made = "SELECT 1 FROM pg_roles WHERE rolname = %s"
        async with self.superuser() as connection:
            if not await _exists(connection, sql.SQL(made), MANAGERS):
                inherited = "pg_read_all_data, pg_write_all_data, pg_monitor"
                text = f"CREATE ROLE {{}} NOLOGIN CREATEDB CREATEROLE BYPASSRLS IN ROLE {inherited}"
                await connection.execute(sql.SQL(text).format(sql.Identifier(MANAGERS)))
            names = {"role": sql.Identifier(principal), "managers": sql.Identifier(MANAGERS)}
            await connection.execute(sql.SQL("GRANT {managers} TO {role}").format(**names))
            await connection.execute(sql.SQL("ALTER ROLE {role} CREATEDB CREATEROLE").format(**names))

    async def grant(self, principal: str, database: str) -> None:
        """CAN_CONNECT_AND_CREATE: CONNECT and CREATE on the database, nothing inside it."""
        await self._execute("GRANT CONNECT, CREATE ON DATABASE {} TO {}", database, principal)

    async def revoke(self, principal: str, database: str) -> None:
        """Takes back what `grant` gave; open connections stay, as in any Postgres."""
        await self._execute("REVOKE ALL ON DATABASE {} FROM {}", database, principal)

    async def position(self, *, mark: bool = False) -> str:
        """Where the log of this Postgres is; with `mark` after something was committed."""
        async with self.superuser() as connection:
            if mark:
                await connection.execute("SELECT pg_logical_emit_message(true, 'metamcp-deploy', 'mark')")
            found = await (await connection.execute("SELECT pg_current_wal_lsn()::text")).fetchone()
        return str(found[0]) if found else ""

    async def grants(self, cluster: Cluster) -> dict[str, set[str]]:
        """Each database of a cluster with the roles that may connect to it."""
        query = """SELECT d.datname, r.rolname FROM pg_database d
            LEFT JOIN LATERAL aclexplode(d.datacl) a ON a.privilege_type = 'CONNECT'
            LEFT JOIN pg_roles r ON r.oid = a.grantee"""
        found: dict[str, set[str]] = {}
        async with self.superuser(cluster=cluster) as connection:
            for database, role in await (await connection.execute(query)).fetchall():
                found.setdefault(database, set()).update({role} - {None, SUPERUSER})
        return found

    async def ensure_owners(self, cluster: Cluster) -> None:
        """Makes sure of each role that a cluster of the past has."""
        async with self.superuser(cluster=cluster) as connection:
            query = "SELECT rolname FROM pg_roles WHERE rolname <> %s AND rolname !~ '^pg_'"
            rows = await (await connection.execute(query, (SUPERUSER,))).fetchall()
        for (role,) in rows:
            await self.ensure_role(role)

    async def _execute(self, statement: str, *names: str) -> None:
        from psycopg import sql

        async with self.superuser() as connection:
            text = sql.SQL(statement)
            await connection.execute(text.format(*(sql.Identifier(n) for n in names)))

    @asynccontextmanager
    async def superuser(
        self, database: str = SUPERUSER, cluster: Cluster | None = None
    ) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection of the superuser, to this or to another cluster."""
        import psycopg

        try:
            uri = (cluster or self.cluster).uri(database).reveal()
            async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
                yield connection
        except psycopg.Error as e:
            raise DeployError(
                Code.POSTGRES_FAILED,
                f"The embedded Lakebase's Postgres refused a statement in {database}: {str(e).strip()}.",
                hint=f"Look at {self.cluster.log}",
            ) from e

    def internal_password(self, role: str) -> Secret:
        """The role's password in the cluster: derived, so that none has to be stored."""
        own = self.cluster.password()
        if role == SUPERUSER:
            return own
        return Secret(hmac.digest(own.reveal().encode(), role.encode(), hashlib.sha256).hex())


async def _exists(connection: psycopg.AsyncConnection, query: sql.SQL, name: str) -> bool:
    return await (await connection.execute(query, (name,))).fetchone() is not None


async def _close_to_public(connection: psycopg.AsyncConnection, database: str) -> None:
    """Roles connect only where they were granted it. PUBLIC keeps TEMP, and the default USAGE of schema public.

    With USAGE but without CREATE, an unpatched release fails as on the platform: 42501, "permission denied for schema
    public"; without USAGE it would be 3F000, "no schema has been selected to create in".
    """
    from psycopg import sql

    await connection.execute(
        sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database))
    )
