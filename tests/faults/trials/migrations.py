"""kill -9 in the middle of a migration of a table with a million rows: of migrator, launcher, all, and PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.trials.bench import Bench, processes, say, until

ROWS = 1_000_000
TABLE = "metamcp_app.tool_calls"
TAG = "0007_long_road"
MIGRATION = """ALTER TABLE "tool_calls" ADD COLUMN "note" text;--> statement-breakpoint
UPDATE "tool_calls" SET "note" = md5("uuid"::text || "milliseconds"::text);--> statement-breakpoint
ALTER TABLE "tool_calls" ALTER COLUMN "note" SET NOT NULL;--> statement-breakpoint
CREATE INDEX "tool_calls_note_idx" ON "tool_calls" USING btree ("note");
"""


def run(bench: Bench) -> None:
    """Each victim in turn; every time the migration is undone first, as if it had never been."""
    clone = bench.sample()
    first = bench.tool("deploy", "-t", "local")
    bench.hold(first.code == 0, "the first deployment failed")
    fill(bench)
    longer(bench, clone)
    bench.tool("build", METAMCP_REF="sample-v2")
    only = os.environ.get("TRIALS_ONLY")
    for name, victims in VICTIMS.items():
        if only in (None, name):
            attempt(bench, name, victims)
    bench.reset()


def fill(bench: Bench) -> None:
    """A million rows."""
    columns = bench.sql(
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = 'metamcp_app' AND table_name = 'tool_calls' ORDER BY ordinal_position"
    )
    say(f"columns of {TABLE}: {columns}")
    needed = [name for name, _, nullable, default in columns if nullable == "NO" and default is None]
    kinds = {name: kind for name, kind, _, _ in columns}
    bench.sql(
        f"SET session_replication_role = replica; INSERT INTO {TABLE} ({', '.join(needed)}) SELECT "
        + ", ".join(value(kinds[n]) for n in needed)
        + f" FROM generate_series(1, {ROWS}) AS n"
    )
    say(f"{count(bench)} rows")


def value(kind: str) -> str:
    """Any value of a type."""
    known = {
        "uuid": "gen_random_uuid()",
        "text": "n::text",
        "integer": "n",
        "bigint": "n",
        "jsonb": "'{}'::jsonb",
    }
    return known.get(kind, "now()" if "time" in kind else "true" if kind == "boolean" else "n::text")


def count(bench: Bench) -> int:
    """Rows."""
    return int(bench.sql(f"SELECT count(*) FROM {TABLE}")[0][0])


def longer(bench: Bench, clone: Path) -> None:
    """A second release with one more migration."""
    folder = clone / "apps" / "backend" / "drizzle"
    (folder / f"{TAG}.sql").write_text(MIGRATION)
    journal = folder / "meta" / "_journal.json"
    content = json.loads(journal.read_text())
    last = content["entries"][-1]
    content["entries"].append({**last, "idx": last["idx"] + 1, "when": last["when"] + 1, "tag": TAG})
    journal.write_text(json.dumps(content, indent=2))
    bench.git("add", "-A", cwd=clone)
    bench.git("commit", "-qm", "A long migration", cwd=clone)
    bench.git("tag", "sample-v2", cwd=clone)


def migrator(bench: Bench) -> list[int]:
    return list(processes("migrate.mjs", bench.work))


def launcher(bench: Bench) -> list[int]:
    return list(processes("metamcp-launcher", bench.work))


def both(bench: Bench) -> list[int]:
    return launcher(bench) + migrator(bench)


def postmaster(bench: Bench) -> list[int]:
    """The server's own process: the one whose parent is no postgres."""
    return [int(p.read_text().split("\n")[0]) for p in bench.work.rglob("postmaster.pid")]


VICTIMS: dict[str, Callable[[Bench], list[int]]] = {
    "migrator": migrator,
    "launcher": launcher,
    "launcher and migrator": both,
    "PostgreSQL": postmaster,
}


def backends(bench: Bench) -> list[tuple[object, ...]]:
    """What the migrator's connections do."""
    return bench.sql(
        "SELECT pid, state, left(query, 40), now() - query_start FROM pg_stat_activity "
        "WHERE application_name = 'metamcp-migrate'"
    )


def undone(bench: Bench) -> None:
    """The app runs the first release on a database without the migration."""
    bench.tool("deploy", "-t", "local", METAMCP_REF="sample-v1", shown=False)
    bench.sql(f"ALTER TABLE {TABLE} DROP COLUMN IF EXISTS note")
    bench.sql("DELETE FROM metamcp_app.__drizzle_migrations WHERE id > 7")


def attempt(bench: Bench, name: str, victims: Callable[[Bench], list[int]]) -> None:
    say(f"--- kill -9 of {name} in the middle")
    undone(bench)
    ledger = bench.sql("SELECT count(*) FROM metamcp_app.__drizzle_migrations")[0][0]
    child = bench.started("deploy", "-t", "local", METAMCP_REF="sample-v2")
    seen = until(180, lambda: migrator(bench))
    bench.hold(seen, "no migrator was seen")
    time.sleep(2.5)
    pids = victims(bench)
    say(f"killing {pids}; backends: {backends(bench)}")
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    if name != "PostgreSQL":
        gone = until(120, lambda: not [b for b in backends(bench) if "UPDATE" in str(b[2])], 0.5)
        say(f"abandoned backend gone: {gone}, {time.monotonic() - killed:.1f} s after the kill")
    done = bench.ended(child, "deploy", "-t", "local", timeout=400)
    say(f"log: {[line[-150:] for line in bench.lines()[-14:]]}")
    if done.code != 0:
        health = bench.tool("health", "-t", "local")
        bench.hold(health.error.get("hint"), "health names no next step")
        began = time.monotonic()
        again = bench.tool("deploy", "-t", "local", METAMCP_REF="sample-v2")
        bench.hold(again.code == 0, f"{name}: the second run did not recover")
        say(f"recovered after {time.monotonic() - began:.1f} s")
    bench.hold(count(bench) == ROWS, f"{name}: rows are lost: {count(bench)}")
    nulls = bench.sql(f"SELECT count(*) FROM {TABLE} WHERE note IS NULL")[0][0]
    bench.hold(nulls == 0, f"{name}: {nulls} rows are not migrated")
    after = bench.sql("SELECT count(*) FROM metamcp_app.__drizzle_migrations")[0][0]
    bench.hold(after == ledger + 1, f"{name}: the ledger has {after} entries, not {ledger + 1}")
    valid = bench.sql(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'metamcp_app.tool_calls_note_idx'::regclass"
    )
    bench.hold(valid == [(True,)], f"{name}: the index is {valid}")
