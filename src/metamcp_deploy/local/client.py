"""Requests to a running workspace: on this machine, never through a proxy."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from metamcp_deploy.config.secret import Secret

SECONDS = 10.0


def call(
    url: str,
    method: str,
    path: str,
    token: Secret | None = None,
    body: Mapping[str, Any] | None = None,
    seconds: float = SECONDS,
) -> tuple[int, Any]:
    """Status and JSON of an answer.

    Raises:
        OSError, http.client.HTTPException, ValueError: nothing sensible answers.
    """
    connection = http.client.HTTPConnection(url.partition("//")[2], timeout=seconds)
    headers = {"Authorization": f"Bearer {token.reveal()}"} if token else {}
    try:
        connection.request(method, path, body=json.dumps(body) if body else None, headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def get(url: str, path: str, token: Secret | None = None) -> dict[str, Any] | None:
    """A JSON object, whatever its status; None when nothing sensible answers."""
    try:
        _, data = call(url, "GET", path, token)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return data if isinstance(data, dict) else None
