"""The proxy in front of the embedded Lakebase's Postgres: checks a token at login, then passes bytes through.

One Postgres role has one password, so a second credential would end the first. Lakebase gives many: here the client's
cleartext password is looked up in a table of tokens, and the proxy logs in with the role's internal password.
Any other password goes on to the cluster, which knows roles that have one of their own (Lakebase's native logins).
As on the platform, a token is checked at login only: open connections live on when it ends. The binaries of the extra
have no TLS, so that ends here as well.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.faults.fault import Fault
from metamcp_deploy.local.lakebase import pg_login, protocol
from metamcp_deploy.local.lakebase.streams import GONE, Streams, exactly, splice, wrap
from metamcp_deploy.local.tasks import Tasks

_log = logging.getLogger(__name__)


@dataclass
class Counters:
    """Logins since the start."""

    ok: int = 0
    failed: int = 0


class PostgresProxy:
    """Listens on 127.0.0.1.

    Args:
        behind: the cluster's unix socket (asked for at each login: it changes when the cluster restarts).
        accepts: whether (user, password) is a token, and so stands for the internal password.
        internal: the password of a role in the cluster.
        tls: answers SSLRequest with it, and then refuses logins without TLS, as Lakebase does.
        authentication_seconds: a client must have logged in by then (PostgreSQL's authentication_timeout).
        most_waiting: connections that have not logged in yet; further ones are refused.
        faults: the fault, if any, that strikes a login of (user, database, password).
        named: which of the cluster's databases a name means; None when there is none of that name.
        logins: counts also those of other proxies.
    """

    def __init__(
        self,
        behind: Callable[[], Path],
        accepts: Callable[[str, str], bool],
        internal: Callable[[str], Secret],
        *,
        tls: ssl.SSLContext | None = None,
        authentication_seconds: float = 60.0,
        most_waiting: int = 256,
        faults: Callable[[str, str, str], Fault | None] = lambda *_: None,
        named: Callable[[str], str | None] = str,
        logins: Counters | None = None,
    ) -> None:
        self._behind, self._accepts, self._internal = behind, accepts, internal
        self._tls, self._seconds, self._most_waiting = tls, authentication_seconds, most_waiting
        self._faults, self._named = faults, named
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._tasks = Tasks()
        self._waiting = 0
        self.logins = logins or Counters()

    @property
    def port(self) -> int:
        """The port it listens on; 0 before `start`."""
        return int(self._listener.getsockname()[1]) if self._listener else 0

    @property
    def alive(self) -> bool:
        """Whether it accepts connections."""
        return self._accepting is not None and not self._accepting.done()

    @property
    def connections(self) -> int:
        """Clients connected now, logged in or not."""
        return len(self._tasks) - 1 if self._listener else 0

    async def start(self, port: int | None = None) -> None:
        """Listens on `port`, or on a free one.

        Raises:
            DeployError: PORT_TAKEN.
        """
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port or 0))
            listener.listen(256)
        except OSError as e:
            listener.close()
            raise DeployError(
                Code.PORT_TAKEN,
                f"Port {port} on 127.0.0.1, where the embedded Lakebase should listen, cannot be used: {e.strerror}.",
                hint="End the program that listens there, or forget the remembered ports: metamcp-deploy local reset",
            ) from e
        listener.setblocking(False)
        self._listener = listener
        self._accepting = self._tasks.start(self._accept(listener))

    async def stop(self) -> None:
        """Closes the port and all connections."""
        if self._listener:
            self._listener.close()
        await self._tasks.cancel()
        self._listener = self._accepting = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as e:
                if e.errno not in (
                    errno.EMFILE,
                    errno.ENFILE,
                    errno.ENOBUFS,
                    errno.ENOMEM,
                    errno.ECONNABORTED,
                ):
                    raise
                await asyncio.sleep(0.1)  # out of descriptors: the connection waits in the kernel's queue
                continue
            client.setblocking(False)
            self._tasks.start(self._serve(client))

    async def _serve(self, sock: socket.socket) -> None:
        opened: list[Streams] = []
        self._waiting += 1
        waiting = True
        try:
            async with asyncio.timeout(self._seconds):
                ends = await self._log_in(sock, opened)
            self._waiting -= 1
            waiting = False
            if ends:
                await splice(*ends)
        except TimeoutError:
            _log.info("a client did not log in within %g s", self._seconds)
        except protocol.ProtocolError as e:
            _log.info("refused: %s", str(e).encode("unicode_escape").decode())  # one line
            if opened and e.answer:
                with suppress(*GONE):
                    await opened[0].send(e.answer)
        except GONE as e:
            _log.debug("connection lost: %r", e)
        finally:
            self._waiting -= waiting
            for pipe in opened:
                pipe.close()
            if not opened:
                sock.close()

    async def _log_in(self, sock: socket.socket, opened: list[Streams]) -> tuple[Streams, Streams] | None:
        """Takes a client to an open session; None when it only cancelled a query, or was refused."""
        client, packet = await self._greet(sock, opened)
        if self._waiting > self._most_waiting:
            raise protocol.ProtocolError(
                "too many clients", protocol.error("53300", "sorry, too many clients already")
            )
        if struct.unpack_from("!I", packet, 4)[0] == protocol.CANCEL_REQUEST:
            await self._cancel(packet)
            return None
        startup = protocol.parse_startup(packet)
        if self._tls and not client.writer.get_extra_info("ssl_object"):
            text = (
                f'no pg_hba.conf entry for host "127.0.0.1", user "{startup.user}", '
                f'database "{startup.database}", no encryption'
            )
            raise protocol.ProtocolError(text, protocol.error("28000", text))
        password = await pg_login.ask_password(client)
        if password is None:
            return None
        if fault := self._faults(startup.user, startup.database, password):
            await pg_login.strike(fault, startup.user)
        accepted = self._accepts(startup.user, password)
        behind = self._internal(startup.user) if accepted else Secret(password)
        meant = self._named(startup.database)
        if meant is None and accepted:
            text = f'database "{startup.database}" does not exist'
            raise protocol.ProtocolError(text, protocol.error("3D000", text))
        # Without a token the cluster judges the password first, and then refuses a name that it cannot have.
        startup = protocol.renamed(startup, meant or f"{startup.database} (not here)")
        backend = await self._connect(opened)
        return (client, backend) if await self._enter(client, backend, startup, behind) else None

    async def _greet(self, sock: socket.socket, opened: list[Streams]) -> tuple[Streams, bytes]:
        """Answers requests for encryption; returns the client and its first real packet.

        Read from the socket without a buffer, so that nothing sent in clear can be taken for part of what follows TLS
        (CVE-2021-23222).
        """
        loop = asyncio.get_running_loop()
        offered = {protocol.GSSENC_REQUEST: b"N", protocol.SSL_REQUEST: b"S" if self._tls else b"N"}
        head = await exactly(sock, 8)
        answer: bytes | None = None
        while answer != b"S" and (answer := offered.pop(struct.unpack("!II", head)[1], None)):
            await loop.sock_sendall(sock, answer)
            head = b"" if answer == b"S" else await exactly(sock, 8)
        client = await wrap(sock, None if head else self._tls)
        opened.append(client)
        head = head or await client.reader.readexactly(8)
        length = struct.unpack_from("!I", head)[0]
        if not 8 <= length <= protocol.LONGEST_STARTUP:
            raise protocol.ProtocolError("invalid length of startup packet")
        return client, head + await client.reader.readexactly(length - 8)

    async def _connect(self, opened: list[Streams]) -> Streams:
        try:
            backend = Streams(*await asyncio.open_unix_connection(str(self._behind())))
        except (OSError, DeployError) as e:
            _log.error("the cluster behind the proxy cannot be reached: %s", e)
            raise protocol.ProtocolError(
                "no cluster", protocol.error("57P03", "the database system is not available")
            ) from e
        opened.append(backend)
        return backend

    async def _enter(
        self, client: Streams, backend: Streams, startup: protocol.Startup, password: Secret
    ) -> bool:
        """Logs in behind; passes the cluster's own refusal (28P01, no such database, no CONNECT) on to the client."""
        await backend.send(startup.packet)
        while True:
            kind, body = await protocol.read_message(backend.reader, 1_000_000)
            if kind == b"R" and body == struct.pack("!I", protocol.AUTH_CLEARTEXT):
                await backend.send(protocol.password_message(password.reveal()))
                continue
            self.logins.failed += kind == b"E"
            self.logins.ok += kind == b"R"
            await client.send(protocol.message(kind, body))
            if kind == b"E":
                _log.warning(
                    "login of %r to %r refused: %r", startup.user, startup.database, protocol.text_of(body)
                )
                return False
            if kind == b"R":
                return True

    async def _cancel(self, packet: bytes) -> None:
        opened: list[Streams] = []
        backend = await self._connect(opened)
        try:
            await backend.send(packet)
            await backend.reader.read()
        finally:
            backend.close()
