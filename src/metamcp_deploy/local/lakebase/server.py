"""The database side of the embedded Lakebase: a real Postgres, its databases, roles, grants and credentials."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.faults.fault import Fault
from metamcp_deploy.local.lakebase.authority import Authority
from metamcp_deploy.local.lakebase.credentials import ANYWHERE, Credential, Tokens
from metamcp_deploy.local.lakebase.pg_proxy import Counters, PostgresProxy
from metamcp_deploy.postgres import Cluster

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

SUPERUSER = "postgres"
HOST = "127.0.0.1"


class Lakebase:
    """One Postgres for all Lakebase databases of an embedded workspace.

    Args:
        folder: its state: `postgres/` (the cluster's home) and `tls/`.
        tls: serve TLS with a certificate of an own authority, and refuse logins without.
        clock: seconds since the epoch, for the end of credentials.
        cluster: another one than that of `folder`.
        faults: the fault, if any, that strikes a login of (user, database) with a credential of this age.
    """

    host = HOST

    def __init__(
        self,
        folder: Path,
        *,
        tls: bool = False,
        clock: Callable[[], float] = time.time,
        cluster: Cluster | None = None,
        faults: Callable[[str, str, float], Fault | None] = lambda *_: None,
    ) -> None:
        self.cluster = cluster or Cluster(folder / "postgres", history=True)
        self._authority = Authority(folder / "tls") if tls else None
        self._tokens = Tokens(clock)
        self._proxy: PostgresProxy | None = None
        self._doors: dict[str, PostgresProxy] = {}
        self._logins = Counters()
        self._faults = faults
        self._stopping = False
        self._healing = asyncio.Lock()
        self.restarts = 0  # of a Postgres that had ended by itself
        self.problem: DeployError | None = None  # why it could not be started again

    @property
    def port(self) -> int:
        """The port clients connect to; 0 while stopped."""
        return self._proxy.port if self._proxy else 0

    @property
    def sslmode(self) -> str:
        """What belongs into PGSSLMODE."""
        return "require" if self._authority else "disable"

    @property
    def ca_file(self) -> Path | None:
        """The authority's certificate with TLS, else None."""
        return self._authority.ca_file if self._authority else None

    @property
    def logins(self) -> Counters:
        """Logins that worked and that were refused, since the start, at all doors."""
        return self._logins

    async def start(self, port: int | None = None) -> None:
        """Starts the cluster and the proxy in front of it, on `port` or on a free one.

        Raises:
            DeployError: POSTGRES_FAILED, PORT_TAKEN, EXTRA_MISSING.
        """
        self._stopping = False
        await asyncio.to_thread(self.cluster.start)
        self._proxy = self._door("", str)
        try:
            await self._proxy.start(port)
            async with self.superuser() as connection:
                for database in (SUPERUSER, "template1"):
                    await _close_to_public(connection, database)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Closes all ports and connections, and ends the cluster."""
        self._stopping = True
        for place in list(self._doors):
            await self.close(place)
        if self._proxy:
            await self._proxy.stop()
            self._proxy = None
        await asyncio.to_thread(self.cluster.stop)

    def _door(self, place: str, named: Callable[[str], str | None]) -> PostgresProxy:
        return PostgresProxy(
            lambda: self.cluster.socket_folder / ".s.PGSQL.5432",
            lambda user, password: self._accepts(user, password, place),
            self._internal,
            tls=self._authority.server_context(HOST, "localhost") if self._authority else None,
            faults=lambda user, database, password: self._faults(user, database, self._tokens.age(password)),
            named=named,
            logins=self._logins,
        )

    async def open(self, place: str, port: int | None, named: Callable[[str], str | None]) -> int:
        """Opens the door of an endpoint or instance, on `port` or on a free one; its port.

        Args:
            place: whose door: credentials are good for one place.
            port: the one to listen on.
            named: which of the cluster's databases a name means there; None when it has none of that name.

        Raises:
            DeployError: PORT_TAKEN.
        """
        door = self._door(place, named)
        await door.start(port)
        self._doors[place] = door
        return door.port

    async def close(self, place: str) -> None:
        """Closes a place's door, and the connections through it."""
        if door := self._doors.pop(place, None):
            await door.stop()

    @property
    def doors(self) -> dict[str, int]:
        """The port of each place whose door is open."""
        return {place: door.port for place, door in self._doors.items() if door.alive}

    @property
    def known_doors(self) -> set[str]:
        """All places that have a door, also one that no longer accepts."""
        return set(self._doors)

    async def heal(self) -> bool:
        """Starts a Postgres, and the listener of the superuser's port, that ended by themselves; whether one had.

        Raises:
            DeployError: POSTGRES_FAILED; `problem` keeps it until it runs again.
        """
        async with self._healing:
            if self._stopping or self._proxy is None:
                return False
            dead = not await asyncio.to_thread(self.cluster.running)
            if dead:
                await self._start_again()
            if closed := not self._proxy.alive:
                port = self._proxy.port
                await self._proxy.stop()
                await self._proxy.start(port)
            return dead or closed

    async def _start_again(self) -> None:
        try:
            if not self.cluster.data.exists():
                raise DeployError(
                    Code.POSTGRES_FAILED,
                    f"The data of the embedded Lakebase, {self.cluster.data}, are gone.",
                    hint="Put them back, or start anew without them: metamcp-deploy local reset",
                )
            await asyncio.to_thread(self.cluster.start)
        except DeployError as e:
            self.problem = e
            raise
        self.problem = None
        self.restarts += 1

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

    async def allow(self, name: str, *, logins: bool) -> None:
        """Opens a database for logins, or closes it and ends the connections to it."""
        await self._execute(f"ALTER DATABASE {{}} ALLOW_CONNECTIONS {str(logins).lower()}", name)
        if not logins:
            async with self.superuser() as connection:
                query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                await connection.execute(query, (name,))

    async def has_database(self, name: str) -> bool:
        """Whether there is a database of that name."""
        from psycopg import sql

        async with self.superuser() as connection:
            return await _exists(connection, sql.SQL("SELECT 1 FROM pg_database WHERE datname = %s"), name)

    async def drop_database(self, name: str) -> None:
        """Deletes a database, if it is there, and ends the connections to it."""
        await self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    async def allow_connections(self, name: str, allowed: bool) -> None:
        """Opens a database for logins, or closes it and ends the connections to it."""
        await self._execute(f"ALTER DATABASE {{}} ALLOW_CONNECTIONS {str(allowed).lower()}", name)
        if allowed:
            return
        async with self.superuser() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )

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
                self._internal(principal).reveal().encode(), principal.encode(), b"scram-sha-256"
            )
            text = "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}"
            statement = sql.SQL(text).format(sql.Identifier(principal), sql.Literal(verifier.decode()))
            await connection.execute(statement)

    async def grant(self, principal: str, database: str) -> None:
        """CAN_CONNECT_AND_CREATE: CONNECT and CREATE on the database, nothing inside it."""
        await self._execute("GRANT CONNECT, CREATE ON DATABASE {} TO {}", database, principal)

    async def revoke(self, principal: str, database: str) -> None:
        """Takes back what `grant` gave; open connections stay, as in any Postgres."""
        await self._execute("REVOKE ALL ON DATABASE {} FROM {}", database, principal)

    def issue_credential(
        self, principal: str, ttl: float = 3600.0, places: Collection[str] = ANYWHERE
    ) -> Credential:
        """A password for the principal's role, for logins at places within `ttl` seconds; earlier ones stay valid."""
        return self._tokens.issue(principal, ttl, places)

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

    def superuser_uri(self, database: str = SUPERUSER) -> Secret:
        """A URI for psql, psycopg and other clients on this machine, as the superuser, that does not end."""
        query = f"sslmode={self.sslmode}"
        login = f"{SUPERUSER}:{quote(self.cluster.password().reveal(), safe='')}"
        return Secret(f"postgresql://{login}@{HOST}:{self.port}/{quote(database, safe='')}?{query}")

    def _accepts(self, user: str, password: str, place: str) -> bool:
        if user == SUPERUSER:
            return hmac.compare_digest(password.encode(), self.cluster.password().reveal().encode())
        return self._tokens.accepts(user, password, place)

    def _internal(self, role: str) -> Secret:
        """The role's password in the cluster: derived, so that none has to be stored."""
        own = self.cluster.password()
        if role == SUPERUSER:
            return own
        return Secret(hmac.digest(own.reveal().encode(), role.encode(), hashlib.sha256).hex())

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
