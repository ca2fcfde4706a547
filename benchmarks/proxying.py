"""Requests a second of a backend route through the launcher, against Next's own proxying of the same route.

    python -m benchmarks.proxying [--project FOLDER] [--rounds 5] [--seconds 3]

Both sides run at the same time, each with a backend of its own, and are asked in turns by one load generator.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.bundles import SECRET, Bare, answering, arguments, bundle, node, proxied
from metamcp_deploy.verify import throwaway
from metamcp_deploy.verify.container import Container

ROUTE = "/metamcp/health"
TIMES, CLIENTS = 2.0, 32


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered: cheap, so that it is not what is measured."""

    def __init__(self, request: bytes, until: float) -> None:
        self.request, self.until = request, until
        self.answered = 0
        self.read = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.read += data
        if not whole(self.read):
            return
        if not self.read.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(self.read[:200].decode(errors="replace")))
            self.transport.abort()
            return
        self.read = b""
        self.answered += 1
        if time.monotonic() < self.until:
            self.transport.write(self.request)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(self.answered)


def whole(response: bytes) -> bool:
    """Whether that is all of a response."""
    head, found, body = response.partition(b"\r\n\r\n")
    if not found:
        return False
    head = head.lower()
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


async def rate(url: str, seconds: float, headers: Mapping[str, str] | None = None) -> float:
    """Requests a second."""
    host, _, port = url.removeprefix("http://").partition(":")
    sent = {"Host": f"{host}:{port}", "Connection": "keep-alive", **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    request = f"GET {ROUTE} HTTP/1.1\r\n{lines}\r\n".encode()
    loop, began = asyncio.get_running_loop(), time.monotonic()
    clients = [
        (await loop.create_connection(lambda: Client(request, began + seconds), host, int(port)))[1]
        for _ in range(CLIENTS)
    ]
    answered = sum([await client.done for client in clients])
    return answered / (time.monotonic() - began)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named, throwaway.database() as variables:
        scratch = Path(named)
        app = bundle(given.project, scratch) / "app"
        secret = {"BETTER_AUTH_SECRET": SECRET, **variables}
        with Container(app, scratch / "container", node(), secret) as container:
            proxy = proxied(container)
            answering(container.url, headers=proxy)
            bare = Bare(app, scratch, variables)
            with bare.running():
                sides: list[tuple[str, Mapping[str, str]]] = [(container.url, proxy), (bare.url, {})]
                for url, headers in sides:
                    asyncio.run(rate(url, 1, headers))
                rounds = [
                    [asyncio.run(rate(url, given.seconds, headers)) for url, headers in sides]
                    for _ in range(given.rounds)
                ]
            container.stop(10)
    ours, theirs = (statistics.median(each[n] for each in rounds) for n in (0, 1))
    times = statistics.median(one / other for one, other in rounds)
    print(f"GET {ROUTE}, {CLIENTS} connections: launcher {ours:.0f}/s, Next's proxying {theirs:.0f}/s")
    print(f"{times:.1f} x (at least {TIMES:g} x)")
    sys.exit(0 if times >= TIMES else 1)


if __name__ == "__main__":
    main()
