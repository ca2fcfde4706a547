"""What MetaMCP serves: its MCP servers by their state, its endpoints by a handshake as a client makes it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from metamcp_deploy import health, knowledge
from metamcp_deploy.doctor.finding import Finding
from metamcp_deploy.doctor.subject import Subject

_MOST = 8  # endpoints that are tried in one run
_SECONDS = 4.0
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


def servers(subject: Subject) -> Iterator[Finding]:
    """Whether MetaMCP has given up on an MCP server: the state stays in its database, also after a restart."""
    for name in subject.failed_servers():
        yield Finding.known(
            knowledge.by_id("app", "server-stays-in-error"),
            subject.place,
            summary=f"MetaMCP does not start the MCP server {name}: its state is ERROR",
            evidence=(f"mcp_servers: {name}: error_status ERROR",),
        )


def endpoints(subject: Subject) -> Iterator[Finding]:
    """Whether each endpoint shakes hands; one that asks for a key has answered."""
    names = _names(subject)[:_MOST]
    if not names:
        return
    with ThreadPoolExecutor(len(names), thread_name_prefix="endpoint") as pool:
        yield from filter(None, pool.map(lambda name: _tried(subject, name), names))


def _names(subject: Subject) -> list[str]:
    """Of the endpoints that MetaMCP lists."""
    answer = _session(subject).get(
        f"{subject.app().url}{health.READY_PATH}", timeout=_SECONDS * subject.stretch, allow_redirects=False
    )
    try:
        listed = answer.json().get("endpoints") or []
        return [str(one["name"]) for one in listed]
    except (ValueError, AttributeError, KeyError, TypeError):
        return []


def _tried(subject: Subject, name: str) -> Finding | None:
    path = f"{health.READY_PATH}/{name}/mcp"
    url, http = subject.app().url + path, _session(subject)
    try:
        answer = http.post(
            url,
            json=_HELLO,
            headers=_ACCEPT,
            timeout=_SECONDS * subject.stretch,
            allow_redirects=False,
            stream=True,
        )
    except requests.exceptions.ReadTimeout:
        said = f"The endpoint {name} did not answer a client's first message within {_SECONDS:g} s"
        return _finding(subject, "tools-list-slow", said, f"POST {path}: no answer in {_SECONDS:g} s")
    except requests.exceptions.RequestException:
        return None  # the checks of the front door say so
    with answer:
        _end(http, url, answer)
        if answer.status_code < 500:
            return None
        body = next(answer.iter_content(500), b"").decode(errors="replace")
    said = f"The endpoint {name} answers a client's first message with {answer.status_code}"
    return _finding(subject, "endpoint-fails", said, f"POST {path}: {answer.status_code} {body}".rstrip())


def _end(http: requests.Session, url: str, answer: requests.Response) -> None:
    """Ends the session that the handshake began, with the processes that MetaMCP started for it."""
    if session := answer.headers.get("mcp-session-id"):
        try:
            http.delete(url, headers={"mcp-session-id": session}, timeout=_SECONDS, allow_redirects=False)
        except requests.exceptions.RequestException:
            return  # the launcher ends it once it is idle


def _session(subject: Subject) -> requests.Session:
    workspace = subject.workspace()
    http = workspace.network.requests_session()
    headers = workspace.app_headers()

    def signed(prepared: requests.PreparedRequest) -> Any:
        # As `auth`: requests would replace the Authorization header by what a ~/.netrc holds for the host.
        prepared.headers.update(headers)
        return prepared

    http.auth = signed
    return http


def _finding(subject: Subject, id_: str, said: str, evidence: str) -> Finding:
    where = "doctor" if id_ == "endpoint-fails" else "app"
    return Finding.known(knowledge.by_id(where, id_), subject.place, summary=said, evidence=(evidence,))
