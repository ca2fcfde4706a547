"""The table of routes: each with the handler that answers it and the right that a caller needs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from metamcp_deploy.local.api.requests import Call, body

Handler = Callable[[Call], Any]
_WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Right:
    """What a person who is no administrator needs to hold.

    Attributes:
        kind: of thing, as access lists have it; None: the path's part `kind`.
        level: on the thing.
        name: where the request names the thing: a part of the path, else a field of its query or JSON body.
    """

    kind: str | None
    level: str
    name: str = "name"


@dataclass(frozen=True)
class Route:
    """One route of a family.

    Attributes:
        method: one method, or `*`.
        path: as aiohttp matches paths, with `{parts}`.
        handler: gives a response, or what is sent as JSON; may be asynchronous.
        raw: the handler reads the body, which is no JSON object.
        right: None: everybody with a login can call it.
        public: needs no login.
        apps: principals of apps can call it too; where the path names an app, only that app's own.
    """

    method: str
    path: str
    handler: Handler
    right: Right | None = None
    raw: bool = False
    public: bool = False
    apps: bool = False


class Table:
    """All routes of a workspace."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = list(routes)
        self._registered: dict[web.AbstractRoute, Route] = {}

    def register(self, application: web.Application) -> None:
        """Makes an application answer them; of several that match, the first."""
        for route in self._routes:
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                registered = application.router.add_route(method, route.path, _answering(route))
                self._registered[registered] = route

    def of(self, request: web.Request) -> Route:
        """The route that answers a request."""
        return self._registered[request.match_info.route]


def _answering(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        reads = request.method in _WITH_BODY and not route.raw
        result = route.handler(Call(request, await body(request) if reads else {}))
        content = await result if inspect.isawaitable(result) else result
        return content if isinstance(content, web.StreamResponse) else web.json_response(content)

    return answer
