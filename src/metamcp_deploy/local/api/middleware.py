"""Middlewares of the API: record each request, shape refusals, inject faults, authenticate, limit rates."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from metamcp_deploy.errors import DeployError
from metamcp_deploy.local.api.authorization import APPS, Authorization
from metamcp_deploy.local.api.errors import ApiError, denied
from metamcp_deploy.local.api.routes import Route, Table
from metamcp_deploy.local.callers import host_checked
from metamcp_deploy.local.faults.injection import Faults
from metamcp_deploy.local.identity import Identity, Principal, bearer
from metamcp_deploy.local.options import USER
from metamcp_deploy.local.timing import RETRY_AFTER_SECONDS, Timing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)
_RECORD_BYTES = 5_000_000
_WORKSPACE = "X-Databricks-Workspace-Id"
_NOTED = {"workspace": _WORKSPACE, "id": "X-Request-Id"}


def layers(
    identity: Identity,
    record: Path,
    faults: Faults,
    access: Authorization,
    timing: Timing,
    table: Table,
    *,
    unified: bool = False,
) -> list[Any]:
    """The middlewares, outermost first."""
    known = authenticated(identity, access, table)
    named = [routed(identity.workspace_id)] if unified else []
    return [
        recorder(record),
        signed(identity.workspace_id),
        shaped,
        host_checked,
        faults.layer(identity),
        *named,
        known,
        limited(timing),
    ]


def routed(workspace_id: str) -> Any:
    """As a host of several workspaces: answers only what names this one.

    The text is the platform's (databricks/cli, acceptance/cmd/auth/describe); that all paths
    answer so is a guess.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/api/") and request.headers.get(_WORKSPACE) != workspace_id:
            return web.Response(status=400, text="Unable to load OAuth Config")
        return await handler(request)

    return check


def signed(workspace_id: str) -> Any:
    """Every answer names the workspace: the official command line reads its id there (libs/auth/workspace_id.go)."""

    @web.middleware
    async def name(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not response.prepared:
            response.headers["X-Databricks-Org-Id"] = workspace_id
        return response

    return name


def recorder(path: Path) -> Any:
    """Appends each request to `requests.jsonl`; no secrets: no bodies.

    A line has method, path, status, who asked; and if there are any: the file that the request names, the workspace and
    the id in its headers, an injected fault.
    """

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        principal: Principal | None = request.get("principal")
        line = {
            "method": request.method,
            "path": request.raw_path.partition("?")[0],
            "status": response.status,
            "by": (principal.app or ("user" if principal.name == USER else principal.name))
            if principal
            else None,
        }
        line |= {name: request[name] for name in ("file", "fault") if name in request}
        line |= {
            name: request.headers[header] for name, header in _NOTED.items() if header in request.headers
        }
        _append(path, json.dumps(line) + "\n")
        return response

    return record


def _append(path: Path, line: str) -> None:
    if path.exists() and path.stat().st_size > _RECORD_BYTES:
        path.replace(path.with_suffix(".old.jsonl"))
    with path.open("a", encoding="utf-8") as out:
        out.write(line)


@web.middleware
async def shaped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns failures into answers: refusals as they are, our own errors as 500, unknown routes as 501."""
    try:
        return await handler(request)
    except ApiError as e:
        return e.response()
    except web.HTTPRequestEntityTooLarge:
        return ApiError(400, "MAX_REQUEST_SIZE_EXCEEDED", "Request body is too large").response()
    except web.HTTPException:
        raise
    except DeployError as e:
        _log.exception("%s %s", request.method, request.path)
        return ApiError(500, "INTERNAL_ERROR", f"{e.message} {e.hint}").response()
    except Exception as e:
        _log.exception("%s %s", request.method, request.path)
        return ApiError(500, "INTERNAL_ERROR", f"{type(e).__name__}: {e}").response()


def authenticated(identity: Identity, access: Authorization, table: Table) -> Any:
    """Puts the principal on the request, or answers 401; keeps apps' principals and people to what they may do."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = table.of(request)
        if route.public:
            return await handler(request)
        token = bearer(request)
        if token is None:
            raise ApiError(
                401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type for this API."
            )
        principal = identity.of_token(token)
        if principal is None:
            raise ApiError(401, "UNAUTHENTICATED", "Invalid access token.")
        request["principal"] = principal
        if principal.app:
            _check_app(principal, request, route)
        elif route.right:
            await access.check(principal, request, route.right)
        return await handler(request)

    return check


def _check_app(principal: Principal, request: web.Request, route: Route) -> None:
    """A launcher that leans on more than the platform gives an app's principal would fail there."""
    of_other = route.right and route.right.kind == APPS and request.match_info["name"] != principal.app
    if not route.apps or of_other:
        raise denied(
            f"{principal.display_name} does not have permission for {request.method} {request.path}."
        )


def limited(timing: Timing) -> Any:
    """Answers 429 to more requests a second than the platform takes, in a realistic workstiming."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        principal: Principal | None = request.get("principal")
        if principal and timing.too_many(request.method, request.path, principal.name):
            error = ApiError(429, "REQUEST_LIMIT_EXCEEDED", f"Rate limit exceeded for {request.path}.")
            response = error.response()
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
            return response
        return await handler(request)

    return check
