"""How the platform answers: JSON, and errors as `{"error_code", "message"}` with a fitting status."""

from __future__ import annotations

import json
import time
from typing import Any

from aiohttp import web


class ApiError(Exception):
    """A refusal in the platform's shape; the middleware in `web` turns it into a response."""

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message

    def response(self) -> web.Response:
        """The answer a client gets."""
        return answer({"error_code": self.error_code, "message": self.message}, status=self.status)


def missing(message: str) -> ApiError:
    """404: the named thing does not exist."""
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


def not_found(message: str) -> ApiError:
    """404 as the newer families (Lakebase autoscaling) spell it."""
    return ApiError(404, "NOT_FOUND", message)


def invalid(message: str) -> ApiError:
    """400: a parameter has the wrong form."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def exists(message: str, status: int = 409) -> ApiError:
    """409 (some older families: 400): a thing of that name is there already."""
    return ApiError(status, "RESOURCE_ALREADY_EXISTS", message)


def denied(message: str) -> ApiError:
    """403: known, but not allowed to."""
    return ApiError(403, "PERMISSION_DENIED", message)


def conflict(message: str) -> ApiError:
    """400: the thing is not in a state for this."""
    return ApiError(400, "INVALID_STATE", message)


def answer(data: Any, status: int = 200) -> web.Response:
    """A JSON response."""
    return web.json_response(data, status=status)


async def body(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; an empty body counts as `{}`.

    Raises:
        ApiError: 400, when it is something else.
    """
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        data = json.loads(raw)
    except ValueError as e:
        raise ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: {e}") from e
    if not isinstance(data, dict):
        raise ApiError(400, "MALFORMED_REQUEST", "Could not parse request object: expected a JSON object")
    return data


def text(data: dict[str, Any], key: str, default: str | None = None) -> str:
    """A text field of a request.

    Raises:
        ApiError: 400, when it is missing or not a text.
    """
    value = data.get(key, default)
    if not isinstance(value, str) or (not value and default is None):
        raise invalid(f"Missing required field: {key}")
    return value


def flag(value: Any) -> bool:
    """A boolean from JSON, a form or a query."""
    return value is True or str(value).lower() == "true"


def stamp(seconds: float) -> str:
    """Seconds since the epoch as the platform writes times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def page(items: list[Any], query: Any, name: str, size: int = 100) -> dict[str, Any]:
    """One page of a list, by `page_size` and `page_token`; `name` is omitted when empty, as the platform does."""
    try:
        start = int(query.get("page_token") or 0)
        length = int(query.get("page_size") or size) or size
    except ValueError as e:
        raise invalid("page_size and page_token must be what an earlier answer gave") from e
    shown: dict[str, Any] = {name: items[start : start + length]} if items[start:] else {}
    if start + length < len(items):
        shown["next_page_token"] = str(start + length)
    return shown
