"""A private unix socket that leads to a database, with TLS on the way.

The programs of the Postgres wheel speak no TLS. They connect here; from here on it is TLS, with the server's name for
routing (SNI) and for the check of its certificate. The socket and the password file lie in a folder of the caller's
alone, which goes when the block ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy.database.server import Login, Server, is_loopback
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import sockets

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_PORT = 5432
_BLOCK = 1 << 18
_CONNECT_SECONDS = 20.0
_GONE = (OSError, asyncio.IncompleteReadError, ssl.SSLError)


@dataclass(frozen=True)
class Door:
    """A way to a database for programs: the environment that libpq's programs need to take it."""

    folder: Path
    server: Server
    login: Login

    @property
    def environment(self) -> dict[str, str]:
        """Address, user and the file with the password; nothing of it is in arguments."""
        return {
            "PGHOST": str(self.folder),
            "PGPORT": str(_PORT),
            "PGDATABASE": self.server.database,
            "PGUSER": self.login.user,
            "PGPASSFILE": str(self.folder / "password"),
            "PGSSLMODE": "disable",  # of the unix socket
            "PGGSSENCMODE": "disable",
            "PGAPPNAME": "metamcp-deploy",
            "PGCONNECT_TIMEOUT": "60",
        }


@contextmanager
def opened(server: Server, login: Login, trusted: Path) -> Iterator[Door]:
    """A door to a server for the time of a block.

    Args:
        server: where it leads.
        login: whose password lies beside it.
        trusted: the authorities' certificates.
    """
    folder = Path(tempfile.mkdtemp(prefix="metamcp-db-", dir=sockets.short_folder()))  # 0700
    try:
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(f"*:*:*:*:{_escaped(login.password.reveal())}\n", encoding="utf-8")
        with _Forwarder(server, folder / f".s.PGSQL.{_PORT}", trusted):
            yield Door(folder, server, login)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


class _Forwarder:
    """Listens in a thread of its own."""

    def __init__(self, server: Server, path: Path, trusted: Path) -> None:
        self._server, self._path = server, path
        self._context = _context(server, trusted)
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    def __enter__(self) -> _Forwarder:
        self._thread.start()
        if not self._ready.wait(10):
            raise DeployError(
                Code.FILE_ACCESS,
                f"No socket can be made at {self._path}.",
                hint="Look whether the folder for temporary files can be written to: ls -ld /tmp",
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._listen())

    async def _listen(self) -> None:
        self._stop = asyncio.Event()
        listener = await asyncio.start_unix_server(self._serve, str(self._path), limit=_BLOCK)
        self._ready.set()
        async with listener:
            await self._stop.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with suppress(asyncio.CancelledError, *_GONE):
                await task

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; the program gets the reason when the server cannot be reached."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                far_reader, far_writer = await self._connect()
        except (*_GONE, TimeoutError) as e:
            with suppress(*_GONE):
                writer.write(_refusal(f"{self._server.host}:{self._server.port}: {e or type(e).__name__}"))
                await writer.drain()
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, far_writer))
                group.create_task(_copy(far_reader, writer))
        except asyncio.CancelledError:
            pass  # the block ends; Python 3.11 would log it otherwise
        finally:
            for one in (writer, far_writer):
                one.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        server = self._server
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=_BLOCK)
        _keep_alive(writer.get_extra_info("socket"))
        if self._context is None:
            return reader, writer
        writer.write(_SSL_REQUEST)
        await writer.drain()
        if await reader.readexactly(1) == b"S":
            await writer.start_tls(self._context, server_hostname=server.host)
        elif server.sslmode != "prefer":
            writer.close()
            raise ssl.SSLError("the server offers no TLS")
        return reader, writer


def _keep_alive(connection: socket.socket) -> None:
    """Notices a server that vanished: a dump is silent for as long as its largest table takes."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(*_GONE):
        while block := await source.read(_BLOCK):
            target.write(block)
            await target.drain()
    with suppress(*_GONE):
        target.close()


def _context(server: Server, trusted: Path) -> ssl.SSLContext | None:
    """As libpq's sslmode: names are checked but for `verify-ca`; on this machine nothing is (`prefer`)."""
    if server.sslmode == "disable":
        return None
    context = ssl.create_default_context(cafile=str(trusted))
    if server.sslmode == "prefer" and is_loopback(server.host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif server.sslmode == "verify-ca":
        context.check_hostname = False
    return context


def _refusal(text: str) -> bytes:
    """An ErrorResponse as PostgreSQL's protocol has it: programs print it."""
    body = b"".join(
        field + value.encode() + b"\0"
        for field, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", "08001"), (b"M", text))
    )
    return b"E" + struct.pack("!I", len(body) + 5) + body + b"\0"
