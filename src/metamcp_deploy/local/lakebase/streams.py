"""The byte streams of a proxied connection: reading, writing, TLS, and passing bytes between two of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass

_CHUNK = 65_536
# What it means that the other side has gone.
GONE = (OSError, asyncio.IncompleteReadError, ssl.SSLError)


@dataclass(frozen=True)
class Streams:
    """A connection's two streams."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        """Closes it after what was sent has gone out."""
        self.writer.close()

    async def send(self, data: bytes) -> None:
        """Sends, and waits while the receiver is too slow."""
        self.writer.write(data)
        await self.writer.drain()


async def exactly(sock: socket.socket, count: int) -> bytes:
    """Reads `count` bytes from a socket and not one more.

    Raises:
        asyncio.IncompleteReadError: the other side closed before that.
    """
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        chunk = await loop.sock_recv(sock, count - len(data))
        if not chunk:
            raise asyncio.IncompleteReadError(data, count)
        data += chunk
    return data


async def wrap(sock: socket.socket, tls: ssl.SSLContext | None) -> Streams:
    """Makes streams of an accepted socket, after a TLS handshake as the server when `tls` is given."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_CHUNK)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=tls)
    return Streams(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


async def splice(client: Streams, backend: Streams) -> None:
    """Passes bytes both ways, no faster than the receiver reads, until the cluster's side ends."""
    upwards = asyncio.ensure_future(_upwards(client, backend))
    try:
        while data := await backend.reader.read(_CHUNK):
            await client.send(data)
    finally:
        upwards.cancel()
        with suppress(asyncio.CancelledError):
            await upwards


async def _upwards(client: Streams, backend: Streams) -> None:
    try:
        while data := await client.reader.read(_CHUNK):
            await backend.send(data)
        backend.writer.write_eof()  # the client may still read the rest of an answer
    except GONE:
        backend.writer.transport.abort()
