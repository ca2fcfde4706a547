"""Injects faults into requests, between the shaping of answers and authentication, and into logins to Postgres."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import asdict, dataclass, replace
from typing import Any

from aiohttp import web

from metamcp_deploy.errors import DeployError
from metamcp_deploy.local.api.errors import ApiError, invalid
from metamcp_deploy.local.faults.fault import HEADER, LOGIN, QUIRKS, STREAM, Fault, parse
from metamcp_deploy.local.identity import Identity, caller
from metamcp_deploy.local.lakebase.catalog import SUPERUSER
from metamcp_deploy.local.options import USER

_OWN = "/local/"
_LOOK_SECONDS = 0.1
# The error code that goes with a status, as the SDK's table of error codes has it (databricks/sdk/errors/platform.py).
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# A load balancer answers so, and not the API behind it.
_PAGE = "<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>"


@dataclass
class Active:
    """A fault that waits for its calls: `met` matched so far, `struck` of them failed."""

    name: str
    fault: Fault
    met: int = 0
    struck: int = 0

    def shown(self) -> dict[str, Any]:
        """As the list gives it."""
        return {"name": self.name, **asdict(self.fault), "met": self.met, "struck": self.struck}


class Faults:
    """The active faults of a running workspace; they end with it."""

    def __init__(self) -> None:
        self.active: dict[str, Active] = {}
        self._numbers = itertools.count(1)

    def add(self, fault: Fault, name: str | None) -> Active:
        """Makes a fault strike from now on, in place of one of the same name."""
        name = str(name or f"fault-{next(self._numbers)}")
        self.active[name] = Active(name, fault)
        return self.active[name]

    def clear(self, name: str | None) -> int:
        """Ends one fault, or all; how many."""
        cleared = [name] if name in self.active else [] if name else list(self.active)
        for key in cleared:
            del self.active[str(key)]
        return len(cleared)

    def meet(self, method: str, path: str, by: str | None, age: float = 0.0) -> Active | None:
        """Counts a call, and gives the fault that strikes it: the first of several."""
        striking = None
        for active in self.active.values():
            if not active.fault.matches(method, path, by) or active.fault.spares(age):
                continue
            active.met += 1
            if striking is None and active.fault.first <= active.met <= active.fault.last:
                active.struck += 1
                striking = active
        return striking

    def of_login(self, user: str, database: str, age: float) -> Fault | None:
        """As `meet`, of a login to Postgres with a credential that is so many seconds old; the superuser is nobody."""
        by = {USER: "operator", SUPERUSER: None}.get(user, "app")
        found = self.meet(LOGIN, database, by, age)
        return found.fault if found else None

    def of_stream(self, app: str) -> float | None:
        """Seconds after which an answer of an app is cut; None for never."""
        found = self.meet(STREAM, app, None)
        return found.fault.seconds or 0.0 if found else None

    def layer(self, identity: Identity) -> Any:
        """The middleware."""

        @web.middleware
        async def strike(request: web.Request, handler: Any) -> web.StreamResponse:
            if request.path.startswith(_OWN):
                return await handler(request)  # type: ignore[no-any-return]
            principal = caller(request, identity)
            if asked := request.headers.get(HEADER):
                if principal is None:
                    raise ApiError(401, "UNAUTHENTICATED", f"{HEADER} needs a login.")
                active = Active("header", _parsed(asked))
            else:
                by = ("app" if principal.app else "operator") if principal else None
                found = self.meet(request.method, request.path, by)
                if found is None:
                    return await handler(request)  # type: ignore[no-any-return]
                active = found
            request["fault"] = active.fault.what
            return await self._carried_out(active, request, handler)

        return strike

    async def _carried_out(self, active: Active, request: web.Request, handler: Any) -> web.StreamResponse:
        fault = active.fault
        if fault.what.isdigit():
            return _refusal(fault, request.path)
        if fault.what in QUIRKS:
            request["quirk"] = fault.what
            return await handler(request)  # type: ignore[no-any-return]
        if fault.what == "reset":
            return _cut(request, web.Response())
        try:
            response: web.StreamResponse = await handler(request)
        except ApiError as e:  # of `authenticated`, which is further in
            response = e.response()
        if fault.what == "lost":
            return _cut(request, response)
        if fault.what == "truncated":
            return _halved(response)
        await self._held(active, request)
        return response

    async def _held(self, active: Active, request: web.Request) -> None:
        """Until its seconds are over, it is cleared, or nobody waits any more."""
        loop = asyncio.get_running_loop()
        seconds = active.fault.seconds
        end = None if seconds is None else loop.time() + seconds
        while (end is None or loop.time() < end) and (transport := request.transport):
            cleared = active.name != "header" and active.name not in self.active
            if cleared or transport.is_closing():
                return
            await asyncio.sleep(_LOOK_SECONDS)


def _parsed(text: str) -> Fault:
    try:
        return replace(parse(text), calls="1")
    except DeployError as e:
        raise invalid(f"{HEADER}: {e.message}") from e


def _refusal(fault: Fault, path: str) -> web.Response:
    status = int(fault.what)
    code = fault.error_code or _CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
    message = fault.message or f"The embedded workspace was asked to fail here with {status}."
    if status == 502 and not fault.error_code:
        response = web.Response(status=status, text=_PAGE.format(status=status), content_type="text/html")
    elif path.startswith("/oidc/"):
        response = web.json_response({"error": code.lower(), "error_description": message}, status=status)
    else:
        response = web.json_response({"error_code": code, "message": message}, status=status)
    if fault.seconds is not None:
        response.headers["Retry-After"] = f"{fault.seconds:g}"
    return response


def _cut(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Closes the connection; `response` is what is recorded, and nobody gets it."""
    if request.transport:
        request.transport.abort()
    return response


def _halved(response: web.StreamResponse) -> web.StreamResponse:
    body_ = response.body if isinstance(response, web.Response) else None
    if isinstance(body_, bytes):
        return web.Response(
            status=response.status, body=body_[: (len(body_) + 1) // 2], content_type=response.content_type
        )
    return response
