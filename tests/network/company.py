"""A company network in small: a proxy that asks for a password, opens TLS with its own CA, and knows a few hosts."""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import dataclass, field

import trustme

USER, PASSWORD = "ada", "p@ss/w:rd"
LOGIN = "ada:p%40ss%2Fw%3Ard"


@dataclass
class Intercepting:
    """The proxy. `hosts` maps a name to the port of a plain HTTP server here; `seen` is what it was asked for."""

    authority: trustme.CA
    hosts: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    tasks: set[object] = field(default_factory=set)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://{LOGIN}@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # After the change to TLS nothing else holds on to this task, and it would be collected while it works.
        self.tasks.add(asyncio.current_task())
        try:
            login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            while f"proxy-authorization: basic {login}".lower() not in head.lower():
                # curl asks without a password first, and again on the same connection.
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n")
                writer.write(b'Proxy-Authenticate: Basic realm="p"\r\nContent-Length: 0\r\n\r\n')
                await writer.drain()
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split("\r\n")[0].split(" ")
            self.seen.append(f"{method} {target}")
            host = target.removeprefix("http://").split("/")[0].split(":")[0]
            if host not in self.hosts:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            back_reader, back = await asyncio.open_connection("127.0.0.1", self.hosts[host])
            if method == "CONNECT":
                writer.transport.pause_reading()  # type: ignore[attr-defined]  # what follows is for TLS
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                reader, writer = await self.open_tls(reader, writer, host)
            else:
                back.write(head.encode())
            await asyncio.gather(pump(reader, back), pump(back_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.tasks.discard(asyncio.current_task())

    async def open_tls(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(host).configure_cert(context)
        await writer.drain()
        loop = asyncio.get_running_loop()
        inner = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(inner)
        transport = await loop.start_tls(writer.transport, protocol, context, server_side=True)
        assert transport
        protocol.connection_made(transport)
        return inner, asyncio.StreamWriter(transport, protocol, inner, loop)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
