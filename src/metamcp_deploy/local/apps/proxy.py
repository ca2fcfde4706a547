"""The proxy in front of an app, as the platform has one.

It decides who is let in and which headers the app can believe; bodies, events and upgrades are streamed both ways.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from metamcp_deploy.container.environment import PROXY_HEADER
from metamcp_deploy.container.ports import HOST
from metamcp_deploy.local.access_lists import EVERYBODY, holder
from metamcp_deploy.local.apps import log_stream, sign_in
from metamcp_deploy.local.apps.logs import Log
from metamcp_deploy.local.apps.runtime import Runtime
from metamcp_deploy.local.apps.unanswered import Unanswered
from metamcp_deploy.local.callers import names_this_machine
from metamcp_deploy.local.identity import Principal, bearer

if TYPE_CHECKING:
    from metamcp_deploy.local.context import Context

_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "expect"),
    }
)
# What only the proxy may say; `X_Forwarded_Email` would be the same name for some servers.
_OWN = frozenset({"forwarded", "x-real-ip", "x-request-id"})
_OWN_PREFIXES = ("x-forwarded-", "x-databricks-")
# Node closes idle connections after 5 s; reusing one at that moment would fail a request for no reason.
_IDLE_SECONDS = 2.0
_DRAIN_SECONDS = 10.0
_BODILESS = frozenset({204, 304})


class Proxy:
    """One app's public port."""

    def __init__(self, context: Context, record: dict[str, Any], log: Log, runtime: Runtime) -> None:
        self.context = context
        self.record = record
        self.name: str = record["name"]
        self.log = log
        self.runtime = runtime
        self.sign_in = context.sign_in
        self._unanswered = Unanswered()
        self._streams: set[web.WebSocketResponse] = set()
        self._runner: web.ServerRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self.origin = ""

    async def open(self, sock: socket.socket) -> None:
        """Serves on a listening socket."""
        self.origin = f"http://{HOST}:{sock.getsockname()[1]}"
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        server = web.Server(self.handle, handler_cancellation=True, auto_decompress=False, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def close(self) -> None:
        """Closes the port and what is open on it."""
        await self.end_streams()
        if self._runner:
            await self._runner.cleanup()
        if self._client:
            await self._client.close()

    async def answered(self, runtime: Runtime) -> None:
        """Waits, some seconds at most, until a replaced process has begun to answer every request that it got."""
        await self._unanswered.over(runtime, _DRAIN_SECONDS)

    async def end_streams(self) -> None:
        """Closes the log streams: without compute there is none."""
        await log_stream.close_all(self._streams)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        if not names_this_machine(request):
            return web.Response(status=403, text="This app answers for 127.0.0.1 and localhost only.")
        if not request.raw_path.startswith("/"):
            # Behind the app's address it would be read as another one: `CONNECT @host:port`.
            return web.Response(status=400, text="The request names no path.")
        if request.path == sign_in.CALLBACK and (signed_in := self.sign_in.callback(request, self.name)):
            return signed_in
        principal, by_token = self._caller(request)
        if principal is None:
            # Not a 401: programs get redirected too, and find a login page where they expected an answer.
            return _redirect(self.sign_in.url(self.context.url, self.name, request.raw_path))
        if request.path == log_stream.PATH:
            if self.record["compute"] != "ACTIVE":
                return _bad_gateway()
            return await log_stream.stream(request, self.log, self.origin, self._streams)
        if self.runtime.port is None:
            return _bad_gateway()
        headers = self._headers(request, principal, by_token)
        url = URL(f"http://{HOST}:{self.runtime.port}{request.raw_path}", encoded=True)
        try:
            with self._unanswered.one(self.runtime) as answered:
                if request.headers.get("Upgrade", "").lower() == "websocket":
                    return await self._websocket(request, url, headers, answered)
                return await self._stream(request, url, headers, answered)
        except (aiohttp.ClientConnectionError, TimeoutError):
            return _bad_gateway()

    def _caller(self, request: web.BaseRequest) -> tuple[Principal | None, bool]:
        """Who calls, if they may, and whether by a token: personal access tokens open no app."""
        token = bearer(request)
        by_token = self.context.identity.of_oauth_token(token) if token else None
        principal = by_token or self.sign_in.session(request, self.name)
        return (principal if principal and self._may_use(principal) else None), by_token is not None

    def _may_use(self, principal: Principal) -> bool:
        acl: dict[str, str] = self.record["acl"]
        return principal.admin or holder(principal.name) in acl or (not principal.app and EVERYBODY in acl)

    def _headers(self, request: web.BaseRequest, principal: Principal, by_token: bool) -> CIMultiDict[str]:
        headers = CIMultiDict(_passed(request.headers))
        # Unsure on the platform. Without it an app cannot come to lean on a token that it may not get.
        if by_token and not self.context.options.forward_authorization:
            headers.popall("Authorization", None)
        if "Cookie" in headers:
            headers["Cookie"] = sign_in.without_session(headers["Cookie"], self.name)
            if not headers["Cookie"]:
                del headers["Cookie"]
        public = self.origin.partition("//")[2]
        headers.update(
            {
                "Host": public,
                "X-Forwarded-Host": public,
                "X-Forwarded-Proto": "http",
                "X-Forwarded-For": request.remote or HOST,
                "X-Real-Ip": request.remote or HOST,
                "X-Request-Id": str(uuid.uuid4()),
                "X-Forwarded-Email": principal.name,
                "X-Forwarded-User": f"{principal.number}@{self.context.identity.workspace_id}",
                "X-Forwarded-Preferred-Username": principal.display_name,
                PROXY_HEADER: self.runtime.secret,
            }
        )
        if self.record["spec"].get("user_api_scopes") and principal.app is None:
            headers["X-Forwarded-Access-Token"] = self.context.identity.issue(principal)
        return headers

    async def _stream(
        self, request: web.BaseRequest, url: URL, headers: CIMultiDict[str], answered: asyncio.Event
    ) -> web.StreamResponse:
        assert self._client is not None  # noqa: S101 -- made by open
        data = request.content if request.can_read_body else None
        skip = {"Accept", "Accept-Encoding", "User-Agent", "Content-Type"}
        async with self._client.request(
            request.method, url, headers=headers, data=data, allow_redirects=False, skip_auto_headers=skip
        ) as upstream:
            answered.set()
            response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
            response.headers.extend(_passed(upstream.headers, own=False))
            response.headers.setdefault("Server", "databricks")
            if request.method == "HEAD" or upstream.status in _BODILESS:
                await response.prepare(request)
                return response
            if upstream.headers.get("Content-Length") is None:
                response.enable_chunked_encoding()
            await response.prepare(request)
            try:
                async with asyncio.timeout(self.context.faults.of_stream(self.name)):
                    async for chunk in upstream.content.iter_any():
                        await response.write(chunk)
            except (aiohttp.ClientError, TimeoutError):
                # Too late for a status: the connection ends here, so that nobody takes a part for the whole.
                if request.transport:
                    request.transport.abort()
                return response
            await response.write_eof()
            return response

    async def _websocket(
        self, request: web.BaseRequest, url: URL, headers: CIMultiDict[str], answered: asyncio.Event
    ) -> web.StreamResponse:
        assert self._client is not None  # noqa: S101 -- made by open
        protocols = [p.strip() for p in headers.pop("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
        for name in [n for n in headers if n.lower().startswith("sec-websocket-")]:
            headers.popall(name, None)
        try:
            upstream = await self._client.ws_connect(
                url, protocols=protocols, headers=headers, autoping=False, max_msg_size=0
            )
        except aiohttp.WSServerHandshakeError as e:
            return web.Response(status=e.status, text=e.message)
        chosen = [upstream.protocol] if upstream.protocol else []
        client = web.WebSocketResponse(protocols=chosen, autoping=False, max_msg_size=0, compress=False)
        answered.set()
        async with upstream:
            await client.prepare(request)
            tasks = {
                asyncio.create_task(_pump(client, upstream)),
                asyncio.create_task(_pump(upstream, client)),
            }
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await client.close()
        return client


_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pump(source: _Socket, target: _Socket) -> None:
    async for message in source:
        if message.type is WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type is WSMsgType.PING:
            await target.ping(message.data)
        elif message.type is WSMsgType.PONG:
            await target.pong(message.data)
    await target.close(code=source.close_code or 1000)


def _passed(headers: Any, *, own: bool = True) -> Iterator[tuple[str, str]]:
    """Headers to hand on: no hop-by-hop ones, and (towards the app) none that only the proxy may set."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    for name, value in headers.items():
        plain = name.lower().replace("_", "-")
        if plain in _HOP_BY_HOP or plain in named:
            continue
        if own and (plain in _OWN or plain.startswith(_OWN_PREFIXES)):
            continue
        yield name, value


def _redirect(url: str) -> web.Response:
    return web.Response(status=302, headers={"Location": url, "Cache-Control": "no-store"})


def _bad_gateway() -> web.Response:
    return web.Response(status=502, text="502 Bad Gateway: the app does not listen.")
