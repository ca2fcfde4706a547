"""`status` as text: a row for each part, with a mark and a colour."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from metamcp_deploy.cli.db_views import age, size
from metamcp_deploy.cli.history import aligned
from metamcp_deploy.cli.views.times import minute, moment

if TYPE_CHECKING:
    from metamcp_deploy.deployments.history import Entry
    from metamcp_deploy.deployments.launcher_document import Server
    from metamcp_deploy.errors import DeployError
    from metamcp_deploy.status import Status
    from metamcp_deploy.status.apps import Listed
    from metamcp_deploy.status.data import Data, Ledger
    from metamcp_deploy.status.inside import Inside

Row = tuple[str, str, str]  # label, text, style
GOOD, WARN, BAD, PLAIN = "green", "yellow", "bold red", ""
_MARKS = {GOOD: "✓ ", WARN: "! ", BAD: "✗ ", PLAIN: "  "}
_UNKNOWN = "? unknown: "
_SHOWN_SERVERS = 3
_SOON_SECONDS = 300.0  # a credential is renewed well before its end
_LONG_SECONDS = 600.0  # a transaction that is open for longer holds back the clean-up of rows
# What counts by itself: it goes on from look to look and is no change.
_COUNTING = re.compile(r"\b\d+(\.\d+)? (s|ms|min|h|d|MB|GB)\b")


def rows(found: Status, failure: DeployError | None, hint: str) -> list[Row]:
    """The screen; `hint` is the failure's, with the options of this run."""
    lines = list(filter(lambda row: row[1].strip(" ✓!✗"), _rows(found)))
    if failure:
        seen = [("", line, "dim") for line in (failure.detail or "").splitlines()]
        lines += [("", failure.message, BAD), *seen, ("Next", hint, "bold")]
    return lines


def changed(now: Sequence[Row], before: Sequence[Row] | None) -> list[bool]:
    """Which rows say something else than in the look before; what counts by itself (ages, sizes) is no change."""
    if before is None:
        return [False] * len(now)
    known = {(label, _still(text)) for label, text, _ in before}
    return [(label, _still(text)) not in known for label, text, _ in now]


def _still(text: str) -> str:
    return _COUNTING.sub("", text)


def _rows(found: Status) -> Iterator[Row]:
    app, said = found.app, found.health
    yield _row("app", f"{app.name}  {app.url}", PLAIN)
    yield _row("target", found.target or "", PLAIN)
    yield _row("workspace", f"{found.host}  {found.root}", PLAIN)
    yield _row("identity", found.identity, PLAIN)
    yield _row("compute", app.compute, GOOD if app.compute == "ACTIVE" else WARN)
    yield _row("state", app.state, {"RUNNING": GOOD, "CRASHED": BAD}.get(app.state, WARN))
    yield _row("running", _deployment(found.running), PLAIN if found.running else WARN)
    yield _row("release", _release(found), PLAIN)
    yield _row("under way", _deployment(found.pending) if found.pending else "", WARN)
    yield from _services(found)
    yield from _database(found)
    lock = found.lock or found.unknown.get("lock")
    yield _row("lock", lock or "free", WARN if lock else PLAIN)
    yield _row("health", said.status.value, GOOD if found.healthy else BAD)


def _row(label: str, text: str, style: str) -> Row:
    return label, _MARKS[style] + text, style


def _deployment(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    words = [entry.deployment, entry.kind, f"of {moment(entry.at)} by {entry.by}"]
    return "  ".join([*words, f"“{entry.message}”"] if entry.message else words)


def _release(found: Status) -> str:
    entry = found.running
    if entry is None or entry.release is None:
        return ""
    return entry.release + (f"  MetaMCP {entry.pin}" if entry.pin else "")


def _services(found: Status) -> Iterator[Row]:
    inside = found.inside
    if inside is None:
        yield "services", _UNKNOWN + found.unknown.get("inside", ""), "dim"
        return
    for name in ("backend", "frontend"):
        yield _service(inside, name)
    made, warn = _credential(inside)
    yield _row("credential", made, warn)
    document = inside.document
    servers = document.processes
    said = f"{document.sessions.open} sessions, {servers.count} processes of MCP servers"
    said += f", {size(servers.memory_bytes)}" if servers.count else ""
    said += "".join(f"; {_server(one)}" for one in servers.by_server[:_SHOWN_SERVERS])
    yield _row("MCP", said, PLAIN)
    memory = document.memory
    if memory.limit_bytes:
        used = f"{size(memory.used_bytes)} of {size(memory.limit_bytes)}"
        yield _row("memory", used, WARN if memory.scarce else PLAIN)


def _service(inside: Inside, name: str) -> Row:
    one, up = inside.service(name), inside.uptime(name)
    times = f"{one.restarts} restarts" if one.restarts != 1 else "1 restart"
    if not one.up:
        return _row(name, f"does not answer, {times}", BAD)
    return _row(name, f"up {age(up)}, {times}", WARN if one.restarts else GOOD)


def _server(one: Server) -> str:
    return f"{one.package or one.command} × {one.servers}"


def _credential(inside: Inside) -> tuple[str, str]:
    one = inside.document.credential
    if one.age_seconds is None or one.expires_in_seconds is None:
        return ("a password that does not end" if one.kind else ""), PLAIN
    if one.expires_in_seconds <= 0:
        return f"ended {age(-one.expires_in_seconds)} ago", BAD
    said = f"{age(one.age_seconds)} old, ends in {age(one.expires_in_seconds)}"
    if one.last_error:
        return f"{said}; the last renewal failed: {one.last_error.message}", WARN
    return said, WARN if one.expires_in_seconds < _SOON_SECONDS else GOOD


def _database(found: Status) -> Iterator[Row]:
    restored = found.running.restored if found.running else None
    name = found.database or "external"
    past = f"  (data as of {minute(str(restored['at']))}, by a rollback)" if restored else ""
    seen = found.data
    if seen is None:
        yield _row("database", name + past, PLAIN)
        yield "", _UNKNOWN + found.unknown.get("data", ""), "dim"
        return
    kind = " ".join(filter(None, (seen.kind, seen.state)))
    yield _row("database", f"{name}  {kind}, {size(seen.bytes)}, PostgreSQL {seen.version}{past}", PLAIN)
    yield from _activity(seen)
    yield _migrations(seen.ledger)


def _activity(seen: Data) -> Iterator[Row]:
    full = seen.connections >= 0.8 * seen.most_connections
    said = f"{seen.connections} of {seen.most_connections} of the app"
    if seen.waiting:
        said += f"; {seen.waiting} wait for a lock"
    oldest = seen.oldest_transaction_seconds
    said += f"; oldest transaction {age(oldest)}" if oldest is not None else "; no open transaction"
    slow = oldest is not None and oldest >= _LONG_SECONDS
    yield _row("connected", said, WARN if full or slow or seen.waiting else GOOD)


def _migrations(ledger: Ledger) -> Row:
    if ledger.applied is None:
        return "migrations", _UNKNOWN + "this login may not read the ledger", "dim"
    if ledger.pending is None or ledger.unknown is None:
        return _row("migrations", f"{ledger.applied} applied; those of the release are not known", PLAIN)
    names = f" ({', '.join(ledger.pending)})" if ledger.pending else ""
    said = f"{ledger.applied} applied, {len(ledger.pending)} pending{names}, {ledger.unknown} unknown"
    return _row("migrations", said, WARN if ledger.pending or ledger.unknown else GOOD)


_COLUMNS = ("", "app", "health", "compute", "state", "deployed", "release", "by")


def listed(found: Sequence[Listed]) -> list[Row]:
    """A line for each app of `status --all`, in columns."""
    cells = [_COLUMNS, *(_cells(one) for one in found)]
    head, *lines = aligned(cells)
    styles = [GOOD if one.healthy else BAD if one.app.compute == "ACTIVE" else WARN for one in found]
    return [("", head, "dim"), *(("", line, style) for line, style in zip(lines, styles, strict=True))]


def _cells(one: Listed) -> list[str]:
    mark = "✓" if one.healthy else "✗" if one.app.compute == "ACTIVE" else "!"
    return [
        mark,
        one.app.name,
        one.health,
        one.app.compute,
        one.app.state,
        minute(one.at) or "-",
        one.release or "-",
        one.by or "-",
    ]
