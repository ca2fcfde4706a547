"""What MetaMCP serves: its MCP servers by their state, its endpoints by a handshake and the list of their tools."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from metamcp_deploy import knowledge
from metamcp_deploy.doctor import handshake
from metamcp_deploy.doctor.finding import Finding
from metamcp_deploy.doctor.subject import Subject

_MOST = 8  # endpoints that are tried in one run


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
    """Whether each endpoint shakes hands and lists its tools; one that asks for a key has answered."""
    names = handshake.names(subject)[:_MOST]
    if not names:
        return
    with ThreadPoolExecutor(len(names), thread_name_prefix="endpoint") as pool:
        yield from filter(None, pool.map(lambda name: _tried(subject, name), names))


def _tried(subject: Subject, name: str) -> Finding | None:
    found = handshake.shake(subject, name, tools=True)
    if found.late:
        seconds = handshake.SECONDS
        said = f"The endpoint {name} did not list its tools within {seconds:g} s"
        asked = "initialize" if found.http is None else "tools/list"
        evidence = f"POST {found.path} {asked}: no answer in {seconds:g} s"
        return _finding(subject, "tools-list-slow", said, evidence)
    if found.http is None or (found.http < 500 and not found.failure):
        return None  # the checks of the front door say why there is no answer
    if found.failure:
        said = f"The endpoint {name} cannot list its tools"
        return _finding(subject, "endpoint-fails", said, f"POST {found.path} tools/list: {found.failure}")
    said = f"The endpoint {name} answers a client's first message with {found.http}"
    evidence = f"POST {found.path}: {found.http} {found.body}".rstrip()
    return _finding(subject, "endpoint-fails", said, evidence)


def _finding(subject: Subject, id_: str, said: str, evidence: str) -> Finding:
    where = "doctor" if id_ == "endpoint-fails" else "app"
    return Finding.known(knowledge.by_id(where, id_), subject.place, summary=said, evidence=(evidence,))
