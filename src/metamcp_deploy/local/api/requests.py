"""Reads requests: JSON bodies, their fields, and pages of lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from metamcp_deploy.local.api.errors import ApiError, invalid
from metamcp_deploy.local.identity import Principal


@dataclass(frozen=True)
class Call:
    """A request as its handler sees it.

    Attributes:
        request: as it came.
        data: the JSON object of its body.
    """

    request: web.Request
    data: dict[str, Any]

    def __getitem__(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]

    def field(self, name: str, default: str | None = None) -> str:
        """A text field of the query of a GET, else of the body.

        Raises:
            ApiError: 400, when it is missing or not a text.
        """
        return text(self.query if self.request.method in ("GET", "HEAD") else self.data, name, default)

    @property
    def query(self) -> Mapping[str, str]:
        """The fields of the query."""
        return self.request.query

    @property
    def principal(self) -> Principal:
        """Who calls, at a route that needs a login."""
        principal: Principal = self.request["principal"]
        return principal


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


def text(data: Mapping[str, Any], key: str, default: str | None = None) -> str:
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
