"""The database side of the embedded Lakebase: a real Postgres, the ports in front of it, and credentials."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.faults.fault import Fault
from metamcp_deploy.local.lakebase.authority import Authority
from metamcp_deploy.local.lakebase.catalog import SUPERUSER, Catalog
from metamcp_deploy.local.lakebase.credentials import ANYWHERE, Credential, Tokens
from metamcp_deploy.local.lakebase.pg_proxy import Counters, PostgresProxy
from metamcp_deploy.postgres import Cluster

if TYPE_CHECKING:
    pass

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
        self.catalog = Catalog(self.cluster)
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
            await self.catalog.close_to_public()
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
            self.catalog.internal_password,
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

    def issue_credential(
        self, principal: str, ttl: float = 3600.0, places: Collection[str] = ANYWHERE
    ) -> Credential:
        """A password for the principal's role, for logins at places within `ttl` seconds; earlier ones stay valid."""
        return self._tokens.issue(principal, ttl, places)

    def superuser_uri(self, database: str = SUPERUSER) -> Secret:
        """A URI for psql, psycopg and other clients on this machine, as the superuser, that does not end."""
        query = f"sslmode={self.sslmode}"
        login = f"{SUPERUSER}:{quote(self.cluster.password().reveal(), safe='')}"
        return Secret(f"postgresql://{login}@{HOST}:{self.port}/{quote(database, safe='')}?{query}")

    def _accepts(self, user: str, password: str, place: str) -> bool:
        if user == SUPERUSER:
            return hmac.compare_digest(password.encode(), self.cluster.password().reveal().encode())
        return self._tokens.accepts(user, password, place)
