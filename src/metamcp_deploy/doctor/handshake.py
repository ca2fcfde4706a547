"""What a client of MCP says first to an endpoint: the handshake, and which tools there are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests

from metamcp_deploy import health
from metamcp_deploy.doctor.subject import Subject

SECONDS = 4.0  # for the handshake and the list of tools together
_ENDING_SECONDS = 0.5
_NO_METHOD = -32601  # an endpoint without tools may say so
_ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-03-26",
        "capabilities": {},
        "clientInfo": {"name": "metamcp-deploy", "version": "1"},
    },
}
_READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}
_TOOLS = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


@dataclass(frozen=True)
class Handshake:
    """An endpoint's answer.

    Attributes:
        path: that was asked.
        http: status of the answer; None without one.
        body: how it begins, where it is a failure.
        late: whether it took too long, for the handshake or the list of tools.
        seconds: that all of it took.
        tools: how many it lists; None where that was not asked, or not answered.
        failure: with what it refused to list its tools; empty where it did not.
    """

    path: str
    http: int | None
    body: str = ""
    late: bool = False
    seconds: float = 0.0
    tools: int | None = None
    failure: str = ""


def names(subject: Subject) -> list[str]:
    """Of the endpoints that MetaMCP lists."""
    answer = session(subject).get(
        f"{subject.app().url}{health.READY_PATH}", timeout=SECONDS * subject.stretch, allow_redirects=False
    )
    try:
        listed = answer.json().get("endpoints") or []
        return [str(one["name"]) for one in listed]
    except (ValueError, AttributeError, KeyError, TypeError):
        return []


def shake(subject: Subject, name: str, *, tools: bool = False) -> Handshake:
    """Shakes hands with an endpoint, and ends the session that this began.

    Args:
        subject: the target.
        name: of the endpoint.
        tools: ask for its tools, too, which starts its MCP servers.
    """
    path, began = f"{health.READY_PATH}/{name}/mcp", time.monotonic()
    url, http = subject.app().url + path, session(subject)

    def since() -> float:
        return round(time.monotonic() - began, 3)

    try:
        answer = _post(http, url, _HELLO, SECONDS * subject.stretch)
    except requests.exceptions.ReadTimeout:
        return Handshake(path, None, late=True, seconds=since())
    except requests.exceptions.RequestException:
        return Handshake(path, None, seconds=since())
    with answer:
        own = {"mcp-session-id": answer.headers.get("mcp-session-id", "")}
        try:
            if answer.status_code >= 400:
                body = next(answer.iter_content(500), b"").decode(errors="replace")
                return Handshake(path, answer.status_code, body, seconds=since())
            left = max(1.0, SECONDS * subject.stretch - since())
            count, failure = _tools(http, url, own, left) if tools else (None, "")
            return Handshake(path, answer.status_code, seconds=since(), tools=count, failure=failure)
        except requests.exceptions.RequestException as e:
            late = isinstance(e, requests.exceptions.Timeout) or "timed out" in str(e)
            return Handshake(path, answer.status_code, late=late, seconds=since())
        finally:
            _end(http, url, own)


def _tools(http: requests.Session, url: str, own: dict[str, str], seconds: float) -> tuple[int | None, str]:
    """How many tools are listed, or why none are."""
    _post(http, url, _READY, seconds, own).close()
    with _post(http, url, _TOOLS, seconds, own) as answer:
        for document in _documents(answer):
            if document.get("id") != _TOOLS["id"]:
                continue
            listed = (document.get("result") or {}).get("tools")
            error = document.get("error") or {}
            refused = error and error.get("code") != _NO_METHOD
            failure = f"{answer.status_code} {json.dumps(error)[:500]}" if refused else ""
            return (len(listed) if isinstance(listed, list) else None), failure
        return None, str(answer.status_code) if answer.status_code >= 500 else ""


def _documents(answer: requests.Response) -> Iterator[dict[str, Any]]:
    """The messages of an answer: one JSON document, or a stream of events."""
    stream = "event-stream" in answer.headers.get("Content-Type", "")
    lines = answer.iter_lines() if stream else [answer.content]
    for line in lines:
        text = line.removeprefix(b"data:") if stream and line.startswith(b"data:") else line
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _post(
    http: requests.Session,
    url: str,
    message: dict[str, Any],
    seconds: float,
    own: dict[str, str] | None = None,
) -> requests.Response:
    return http.post(
        url,
        json=message,
        headers=_ACCEPT | (own or {}),
        timeout=seconds,
        allow_redirects=False,
        stream=True,
    )


def _end(http: requests.Session, url: str, own: dict[str, str]) -> None:
    """Ends the session that the handshake began, with the processes that MetaMCP started for it."""
    if own["mcp-session-id"]:
        try:
            http.delete(url, headers=own, timeout=_ENDING_SECONDS, allow_redirects=False)
        except requests.exceptions.RequestException:
            return  # the launcher ends it once it is idle


def session(subject: Subject) -> requests.Session:
    """Makes requests that open the app."""
    workspace = subject.workspace()
    http = workspace.network.requests_session()
    headers = workspace.app_headers()

    def signed(prepared: requests.PreparedRequest) -> Any:
        # As `auth`: requests would replace the Authorization header by what a ~/.netrc holds for the host.
        prepared.headers.update(headers)
        return prepared

    http.auth = signed
    return http
