"""`/logz/stream`: the platform's log stream over WebSocket."""

from __future__ import annotations

import asyncio

from aiohttp import WSCloseCode, WSMsgType, web

from metamcp_deploy.local.apps.logs import Line, Log

PATH = "/logz/stream"
KEEPALIVE_SECONDS = 10.0


async def stream(
    request: web.BaseRequest, log: Log, origin: str, open_streams: set[web.WebSocketResponse]
) -> web.StreamResponse:
    """Serves one stream, after the credential was checked.

    The client's first frame is the search term (empty for all); before it nothing is sent. Then history, then what
    comes, JSON text frames, and a single 0x00 byte from time to time.
    """
    socket = web.WebSocketResponse(autoping=True)
    if not socket.can_prepare(request):
        return web.Response(status=400)
    if request.headers.get("Origin") != origin:
        return web.Response(status=403, text="Origin must be the app's own.")
    await socket.prepare(request)
    open_streams.add(socket)
    try:
        first = await socket.receive()
        if first.type is WSMsgType.TEXT:
            await _send(socket, log, first.data)
    finally:
        open_streams.discard(socket)
        await socket.close()
    return socket


async def _send(socket: web.WebSocketResponse, log: Log, term: str) -> None:
    sending = asyncio.create_task(_lines(socket, log, term))
    hearing = asyncio.create_task(_until_closed(socket))
    try:
        await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
    finally:  # the proxy cancels this when the client leaves
        for task in (sending, hearing):
            task.cancel()
        await asyncio.gather(sending, hearing, return_exceptions=True)


async def _lines(socket: web.WebSocketResponse, log: Log, term: str) -> None:
    with log.reading() as (history, coming):
        for line in history:
            await _one(socket, line, term)
        while True:
            try:
                line = await asyncio.wait_for(coming.get(), KEEPALIVE_SECONDS)
            except TimeoutError:
                await socket.send_bytes(b"\0")
                continue
            await _one(socket, line, term)


async def _one(socket: web.WebSocketResponse, line: Line, term: str) -> None:
    if term in line.message:
        await socket.send_str(line.frame())


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass


async def close_all(sockets: set[web.WebSocketResponse]) -> None:
    """Ends open streams as a restarting platform does."""
    for socket in list(sockets):
        await socket.close(code=WSCloseCode.GOING_AWAY)
