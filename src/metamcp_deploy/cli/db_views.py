"""What the `db` commands show, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.cli.history import aligned
from metamcp_deploy.cli.views.times import moment

if TYPE_CHECKING:
    from metamcp_deploy.database import facts
    from metamcp_deploy.database.checks import Finding
    from metamcp_deploy.database.credentials import AsApp, Minted

Rows = list[tuple[str, str, str]]
_STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "error": "bold red", "unknown": "yellow"}
_MARKS = {"ok": "✓", "note": "·", "warning": "!", "error": "✗", "unknown": "?", "failed": "✗", "skipped": "-"}
_SHOWN_TABLES = 5


@dataclass(frozen=True)
class Status:
    """All that `db status` reads."""

    identity: facts.Identity
    settings: facts.Settings
    schema: facts.Schema
    migrations: facts.Migrations
    activity: facts.Activity
    storage: facts.Storage

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        seen, oldest = self.activity, self.activity.oldest_transaction
        return {
            "database": self.identity.database,
            "login": self.identity.role,
            "app_role": self.identity.app,
            "version": self.settings.version,
            "uptime": self.settings.uptime,
            "read_only": self.settings.read_only or self.settings.replica,
            "bytes": self.settings.bytes,
            "schema": {"name": self.schema.name, "owner": self.schema.owner, "bytes": self.storage.bytes},
            "tables": [asdict(table) for table in self.storage.tables],
            "cache_hits": self.storage.cache_hits,
            "dead_rows": self.storage.dead,
            "connections": {
                "app": seen.role_connections,
                "most": seen.most,
                "server": seen.server_connections,
                "server_most": seen.server_most,
            },
            "oldest_transaction": oldest and asdict(oldest),
            "locks": [asdict(lock) for lock in seen.locks],
            "migrations": {
                "readable": self.migrations.readable,
                "applied": len(self.migrations.applied),
                "pending": self.migrations.pending,
                "unknown": [one.when for one in self.migrations.unknown],
            },
        }

    def rows(self) -> Rows:
        """Label, text and style of each line."""
        seen, server = self.activity, self.settings
        full = seen.role_connections >= 0.8 * seen.most
        rows: Rows = [
            ("database", f"{self.identity.database}  {size(server.bytes)}  PostgreSQL {server.version}", ""),
            (
                "login",
                f"{self.identity.role}" + ("" if self.identity.reads_all else "  (not a reader of all)"),
                "",
            ),
            ("schema", self._schema(), "" if self.schema.owned_by_app else "yellow"),
            ("migrations", self._migrations(), "yellow" if self.migrations.pending else ""),
            (
                "connections",
                f"{seen.role_connections} of {seen.most} of the app, {seen.server_connections} of "
                f"{seen.server_most} of the server",
                "bold red" if full else "",
            ),
            ("transaction", self._oldest(), ""),
        ]
        rows += [("lock", text, "bold red") for text in map(_lock, seen.locks)] or [
            ("locks", "nobody waits", "")
        ]
        hits = self.storage.cache_hits
        dead = f"{self.storage.dead} dead rows"
        rows.append(("cache", f"{100 * hits:.1f} % of blocks from memory" if hits is not None else "-", ""))
        rows.append(("tables", f"{len(self.storage.tables)}, {size(self.storage.bytes)}, {dead}", ""))
        largest = self.storage.tables[:_SHOWN_TABLES]
        rows += [
            ("", f"{t.name}  {size(t.bytes)}  about {t.rows} rows, {t.dead} dead", "dim") for t in largest
        ]
        if server.read_only or server.replica:
            rows.append(("read only", "the app cannot write", "bold red"))
        return rows

    def _schema(self) -> str:
        if not self.schema.exists:
            return f"{self.schema.name} is not there yet"
        return f"{self.schema.name}  {len(self.schema.objects)} objects of {', '.join(self.schema.owners)}"

    def _migrations(self) -> str:
        found = self.migrations
        if not found.readable:
            return "this login may not read the ledger"
        words = [f"{len(found.applied)} applied"]
        words += [f"{len(found.pending)} pending ({', '.join(found.pending)})"] if found.pending else []
        words += [f"{len(found.unknown)} unknown to the release"] if found.unknown else []
        return ", ".join(words)

    def _oldest(self) -> str:
        one = self.activity.oldest_transaction
        if one is None:
            return "none is open"
        return f"{age(one.transaction_age)}, {one.state or 'state hidden'}, pid {one.pid} of {one.role}"


def _lock(lock: facts.Lock) -> str:
    holder = lock.holder
    who = f"pid {lock.pid}"
    if holder:
        since = age(holder.transaction_age or holder.state_age)
        who += f" of {holder.role} ({holder.state or 'state hidden'}, {since}): {holder.statement or 'not shown'}"
    return f"pid {lock.waiting.pid} of {lock.waiting.role} waits {age(lock.waiting.state_age)} for {who}"


def findings(found: Sequence[Finding]) -> Rows:
    """A line for each check, with what is seen and the fix below it."""
    rows: Rows = []
    for one in found:
        style = _STYLES[one.level.value]
        rows.append((one.id, f"{_MARKS[one.level.value]} {one.summary}", style))
        rows += [("", line, "dim") for line in one.evidence.splitlines()]
        rows += [("", f"fix: {one.fix}", "bold")] if one.fix else []
    return rows


def sessions_as_dict(activity: facts.Activity, held: Sequence[facts.Held]) -> dict[str, Any]:
    """For `-o json`."""
    locks: dict[int, list[dict[str, Any]]] = {}
    for one in held:
        locks.setdefault(one.pid, []).append({"mode": one.mode, "on": one.what, "granted": one.granted})
    shown = [
        {**asdict(s), "app": s.role == activity.app, "locks": locks.get(s.pid, [])} for s in activity.sessions
    ]
    return {"sessions": shown, "hidden": activity.hidden}


def sessions(activity: facts.Activity, held: Sequence[facts.Held]) -> str:
    """A row for each session, and below it its statement and locks."""
    from metamcp_deploy.console import plain

    if not activity.sessions:
        return "Nobody is connected."
    columns = ("pid", "role", "application", "state", "age", "transaction", "waits for")
    head, *rows = aligned([columns, *map(_session, activity.sessions)])
    lines = [head]
    for row, one in zip(rows, activity.sessions, strict=True):
        lines.append(row)
        lines += [f"    {text}" for text in _details(one, held)]
    if activity.hidden:
        lines.append("The state of some is hidden from this login: it is no member of pg_read_all_stats.")
    return "\n".join(plain(line) for line in lines)


def _session(one: facts.Session) -> list[str]:
    blockers = ", ".join(map(str, one.blockers)) or "-"
    opened = age(one.transaction_age)
    return [
        str(one.pid),
        one.role,
        one.application or "-",
        one.state or "hidden",
        age(one.age),
        opened,
        blockers,
    ]


def _details(one: facts.Session, held: Sequence[facts.Held]) -> Iterator[str]:
    if one.statement:
        yield one.statement
    for lock in held:
        if lock.pid == one.pid:
            yield f"{'holds' if lock.granted else 'wants'} {lock.mode} on {lock.what}"


def minted_as_dict(made: Minted, show: bool) -> dict[str, Any]:
    """For `-o json`; the password only where it was asked for."""
    shown = {
        "kind": made.server.kind,
        "database": made.server.database,
        "host": made.server.host,
        "port": made.server.port,
        "login": made.login.user,
        "ends": made.ends and made.ends.isoformat(),
        "app_principal": made.principal,
        "app_role": made.identity.app,
        "app_role_exists": made.identity.app_exists,
        "member": made.identity.member,
        "schema_owner": made.owner,
    }
    return shown | ({"password": made.login.password.reveal()} if show else {})


def minted(made: Minted, show: bool) -> str:
    """For people; with `show` the password alone."""
    if show:
        return made.login.password.reveal()
    who, server = made.identity, made.server
    app = f"{who.app}" + ("" if who.app_exists else ", which the server does not have")
    other = f" (the app's principal is {made.principal})" if who.app != made.principal else ""
    schema = "" if made.owner in (None, who.app) else f"\nMetaMCP's schema belongs to {made.owner}."
    member = "is a member of it" if who.member else "is no member of it"
    ends = f", until {moment(made.ends.isoformat())}" if made.ends else ""
    return (
        f"{made.login.user} logs in to {server.database} at {server.host}:{server.port}{ends}.\n"
        f"The app logs in as {app}{other}; {made.login.user} {member}.{schema}"
    )


def way_as_dict(way: AsApp) -> dict[str, Any]:
    """For `-o json`."""
    failure = {"error": way.failure.as_dict()} if way.failure else {}
    return {"role": way.role, "steps": [asdict(step) for step in way.steps], **failure}


def way(way: AsApp) -> str:
    """A line for each step."""
    marks = {"ok": "✓", **_MARKS}
    lines = [f"{marks[s.outcome]} {s.name:<14} {s.seconds:6.2f} s  {s.said}".rstrip() for s in way.steps]
    return "\n".join(lines)


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def age(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
