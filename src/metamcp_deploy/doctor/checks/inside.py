"""What the launcher sees inside the container: services, tokens, memory, and the processes of MCP servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from metamcp_deploy import knowledge
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.subject import Subject

if TYPE_CHECKING:
    from metamcp_deploy.deployments.launcher_document import Death, Document, Problem, Service
    from metamcp_deploy.knowledge.entry import Entry

_RECENT_SECONDS = 900.0  # a death before that is history
_MANY_SERVERS = 20  # of one command
_FEW_SESSIONS = 2.0  # servers of one command for each open session: more were left behind
_RENEWAL = frozenset({"resources", "database", "launcher"})
_SERVING = "GET /.metamcp-deploy/status"


def services(subject: Subject) -> Iterator[Finding]:
    """Whether both services stay up, tokens are renewed, and memory and connections suffice."""
    if (found := subject.inside()) is None:
        return
    for name, service in (("backend", found.services.backend), ("frontend", found.services.frontend)):
        yield from _deaths(subject, name, service)
    yield from _tokens(subject, found)
    if found.memory.scarce:
        used, most = found.memory.used_bytes / 2**20, found.memory.limit_bytes / 2**20
        said = f"The app uses {used:.0f} of its {most:.0f} MB of memory"
        yield _known(subject, "doctor", "memory-scarce", said, f"memory: {used:.0f} of {most:.0f} MB")
    pool = found.database_pool
    if pool and pool.waiting and not pool.idle:
        said = f"All {pool.total} database connections of MetaMCP are in use, and {pool.waiting} requests wait for one"
        counted = f"pool: {pool.total} of {pool.most or '?'}, {pool.idle} idle, {pool.waiting} waiting"
        yield _known(subject, "doctor", "pool-exhausted", said, counted)
    for server in found.processes.by_server:
        abandoned = server.servers > _FEW_SESSIONS * max(1, found.sessions.open)
        if server.servers >= _MANY_SERVERS and abandoned:
            called = server.package or server.command
            said = f"The MCP server {called} runs {server.servers} times, for {found.sessions.open} open sessions"
            memory = (
                f"{server.memory_bytes / 2**20:.0f} MB, the oldest for {server.oldest_seconds / 3600:.1f} h"
            )
            yield _known(
                subject, "app", "server-processes-pile-up", said, f"processes: {server.count}, {memory}"
            )


def _deaths(subject: Subject, name: str, service: Service) -> Iterator[Finding]:
    recent = [death for death in service.deaths if _age(death.time) < _RECENT_SECONDS]
    if not recent:
        return
    last = recent[-1]
    entry = _of_death(last)
    times = "once" if len(recent) == 1 else f"{len(recent)} times"
    state = "it is up again" if service.up else "it is not up"
    said = f"The {name} of MetaMCP ended {times} in the last {_RECENT_SECONDS / 60:.0f} minutes; {state}"
    yield Finding.known(
        entry,
        subject.place,
        summary=said,
        evidence=(f"{last.time}: {last.message}", *(f"{name} | {line}" for line in last.lines[-3:])),
        level=Level.WARNING if service.up else Level.ERROR,
    )


def _of_death(death: Death) -> Entry:
    """What is known of such an end, by its last lines and how it was ended."""
    log = "\n".join((death.message, *death.lines))
    known = knowledge.recognise("launcher", code=death.code or None, log=log)
    return known or knowledge.by_id("launcher", "service-died")


def _tokens(subject: Subject, found: Document) -> Iterator[Finding]:
    ended = found.credential.expires_in_seconds is not None and found.credential.expires_in_seconds <= 0
    for what, problem in (
        ("OAuth token", found.token.last_error),
        ("database credential", found.credential.last_error),
    ):
        if problem is None:
            continue
        said = f"The app cannot renew its {what}" + (
            ", which has ended" if ended else ", and goes on with the one it has"
        )
        yield Finding.known(
            _of_problem(problem),
            subject.place,
            summary=said,
            evidence=(f"{_SERVING}: {problem.time} {problem.code}: {problem.message}",),
            level=Level.ERROR if ended else Level.WARNING,
            explained_by=_RENEWAL,
        )


def _of_problem(problem: Problem) -> Entry:
    log = f"{problem.code} {problem.message}"
    known = knowledge.recognise("launcher", code=problem.code or None, log=log)
    return known or knowledge.by_id("launcher", "credential-refused")


def _age(moment: str) -> float:
    """Seconds since a moment in RFC 3339; 0 where it is none."""
    try:
        return time.time() - datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0


def _known(subject: Subject, where: str, id_: str, said: str, *evidence: str) -> Finding:
    return Finding.known(knowledge.by_id(where, id_), subject.place, summary=said, evidence=evidence)
