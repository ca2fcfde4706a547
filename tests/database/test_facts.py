"""What is read of a database, beside PostgreSQL's own catalogues of a real one."""

from __future__ import annotations

import threading

import psycopg
import pytest

from metamcp_deploy.database import connection, deployed, facts
from metamcp_deploy.database.facts.activity import without_literals
from metamcp_deploy.errors import Code, DeployError
from tests.database.conftest import MIGRATIONS, SCHEMA, World

FIRST, SECOND = MIGRATIONS


def connected(world: World) -> psycopg.Connection[tuple[object, ...]]:
    return connection.connect(world.site, world.app, timeout=20)


def test_a_healthy_database(world: World) -> None:
    app = deployed.look(world.site, world.app)
    assert (app.role, app.schema) == (world.role, SCHEMA)
    assert app.migrations is not None
    assert [one.name for one in app.migrations] == list(MIGRATIONS)
    assert deployed.objects_of(app.migrations) == {"status", "endpoints", "servers"}
    with connected(world) as made:
        who = facts.identity(made, app.role)
        found = facts.schema(made, app.schema, app.role, deployed.objects_of(app.migrations))
        ledger = facts.migrations(made, found, app.migrations)
        server = facts.settings(made, app.role)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            made.execute("CREATE TABLE public.x ()")
    # docs.databricks.com: whoever creates a project is a member of databricks_superuser, and not of the app's role
    assert (who.role, who.app_exists, who.member, who.may_become) == (
        "developer@example.com",
        True,
        False,
        False,
    )
    assert (who.reads_all, who.sees_all, who.app_connects, who.app_creates) == (True, True, True, True)
    assert (found.exists, found.owned_by_app, found.foreign, found.elsewhere) == (True, True, (), ())
    assert {(one.kind, one.name) for one in found.objects} == {
        *(("TABLE", name) for name in ("endpoints", "servers", "__drizzle_migrations")),
        ("TYPE", "status"),
    }
    assert [one.name for one in ledger.applied] == list(MIGRATIONS)
    assert (ledger.readable, ledger.pending, ledger.unknown, ledger.altered) == (True, (), (), ())
    assert (server.major, server.read_only, server.replica) == (16, False, False)
    assert server.bytes > 5_000_000


def test_owners_of_another_role_and_objects_elsewhere(world: World) -> None:
    with world.superuser() as made:
        made.execute(f'ALTER TABLE {SCHEMA}.servers OWNER TO "developer@example.com"')
        made.execute("CREATE TABLE public.endpoints ()")
    with connected(world) as made:
        found = facts.schema(made, SCHEMA, world.role, {"endpoints", "servers", "status"})
    assert [(one.name, one.owner, one.usable) for one in found.foreign] == [
        ("servers", "developer@example.com", False)
    ]
    assert [one.name for one in found.in_public] == ["endpoints"]
    assert found.owners == tuple(sorted(["developer@example.com", world.role]))


def test_a_database_before_its_first_start(autoscaling: World) -> None:
    app = deployed.look(autoscaling.site, autoscaling.app)
    with connected(autoscaling) as made:
        found = facts.schema(made, app.schema, app.role)
        ledger = facts.migrations(made, found, app.migrations)
    assert (found.exists, found.owner, found.objects) == (False, None, ())
    assert (ledger.ledger, ledger.pending) == (False, tuple(MIGRATIONS))


def test_a_ledger_behind_and_ahead_of_the_release(autoscaling: World) -> None:
    autoscaling.migrate((FIRST,))
    app = deployed.look(autoscaling.site, autoscaling.app)
    try:
        with connected(autoscaling) as made:
            found = facts.schema(made, app.schema, app.role)
            behind = facts.migrations(made, found, app.migrations)
            with autoscaling.superuser() as other:
                ledger_table = f"{SCHEMA}.__drizzle_migrations"
                other.execute(f"UPDATE {ledger_table} SET hash = 'y'")
                other.execute(f"INSERT INTO {ledger_table} (hash, created_at) VALUES ('x', 1800000000000)")
            ahead = facts.migrations(made, found, app.migrations)
    finally:
        autoscaling.forget()
    assert (behind.pending, behind.skipped, behind.unknown) == ((SECOND,), (), ())
    # The migrator's rule: what is not later than the last applied one would be skipped.
    assert (ahead.pending, ahead.skipped) == ((), (SECOND,))
    assert [one.when for one in ahead.unknown] == [1_800_000_000_000]
    assert [one.name for one in ahead.altered] == [FIRST]


def test_a_login_that_may_not_read_the_ledger(world: World) -> None:
    app = deployed.look(world.site, world.app)
    with world.superuser() as made:
        made.execute('REVOKE databricks_superuser FROM "developer@example.com"')
        try:
            with connected(world) as other:
                found = facts.schema(other, app.schema, app.role)
                ledger = facts.migrations(other, found, app.migrations)
                seen = facts.identity(other, app.role)
        finally:
            made.execute('GRANT databricks_superuser TO "developer@example.com"')
    assert (found.exists, found.readable, seen.reads_all, seen.sees_all) == (True, False, False, False)
    assert (ledger.ledger, ledger.readable, ledger.applied) == (True, False, ())


def test_who_waits_for_whom(world: World) -> None:
    """The holder is idle in a transaction; its statement is shown without what people typed."""
    with world.superuser() as holder, world.superuser(world.role) as waiter, connected(world) as made:
        holder.execute("BEGIN")
        holder.execute(f"UPDATE {SCHEMA}.endpoints SET name = 'it''s a secret'")
        holder.execute(f"LOCK TABLE {SCHEMA}.endpoints IN ACCESS EXCLUSIVE MODE; SELECT 'a secret'")
        thread = threading.Thread(target=waiter.execute, args=(f"SELECT * FROM {SCHEMA}.endpoints",))
        thread.start()
        pids = holder.info.backend_pid, waiter.info.backend_pid
        for _ in range(200):
            found = facts.activity(made, world.role)
            if found.locks:
                break
        holder.execute("ROLLBACK")
        thread.join()
    (lock,) = found.locks
    assert lock.holder is not None
    assert (lock.pid, lock.holder.state) == (pids[0], "idle in transaction")
    assert lock.holder.statement == f"LOCK TABLE {SCHEMA}.endpoints IN ACCESS EXCLUSIVE MODE; SELECT ?"
    assert lock.waiting.pid == pids[1]
    assert found.oldest_transaction is not None
    assert found.oldest_transaction.pid == lock.pid
    assert found.server_connections >= 3
    assert (found.role_most, found.most) == (-1, found.server_most)


def test_a_database_whose_sessions_begin_read_only(world: World) -> None:
    name = world.physical
    with world.superuser() as other:
        other.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        try:
            with connected(world) as made:
                assert facts.settings(made, world.role).read_only
        finally:
            other.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')


def test_a_statement_that_takes_too_long(world: World) -> None:
    made = connection.connect(world.site, world.app, timeout=20, statement_timeout=0.05)
    with made, pytest.raises(DeployError) as caught:
        facts.asking.rows(made, "SELECT pg_sleep(10)")
    assert caught.value.code is Code.DATABASE_REFUSED
    assert "57014" in (caught.value.detail or "")


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("SELECT 'a' || E'b\\'c' || U&'d', $$e'$$, $x$f$$g$x$", "SELECT ? || ? || ?, ?, ?"),
        # With standard_conforming_strings a backslash ends nothing: the second text is a text of its own.
        (r"SELECT 'a\' OR 'secret'", "SELECT ? OR ?"),
        ("SELECT 12, 1.5e3, $1, t1.c2 FROM t1", "SELECT ?, ?, $1, t1.c2 FROM t1"),
        ('SELECT "it\'s", 1 -- secret\nFROM /* a secret */ x', 'SELECT "it\'s", ? FROM x'),
        ("UPDATE x SET y = 'cut", "UPDATE x SET y = ?"),
        ("<insufficient privilege>", ""),
        (None, ""),
    ],
)
def test_statements_are_shown_without_data(statement: str | None, shown: str) -> None:
    assert without_literals(statement) == shown
