"""A cluster's past: what was there at a moment, and not what came later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from metamcp_deploy.postgres import Cluster, transfer


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path / "it's 100% pg", history=True)
    made.start()
    yield made
    made.remove()


def execute(cluster: Cluster, *statements: str, database: str = "postgres") -> None:
    with psycopg.connect(cluster.uri(database).reveal(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def value(cluster: Cluster, query: str, database: str = "postgres") -> object:
    with psycopg.connect(cluster.uri(database).reveal()) as connection:
        row = connection.execute(query).fetchone()
        return row and row[0]


ROWS = "SELECT string_agg(word, ' ' ORDER BY word) FROM t"
AFTER = "INSERT INTO t VALUES ('later')"


def test_each_moment_holds_what_was_committed_by_then(cluster: Cluster) -> None:
    execute(cluster, "CREATE TABLE t (word text)", "INSERT INTO t VALUES ('a')")
    first = time.time()
    execute(cluster, "INSERT INTO t VALUES ('b')")
    lsn = str(value(cluster, "SELECT pg_current_wal_insert_lsn()"))
    cluster.stop()
    cluster.start()
    execute(cluster, "DROP TABLE t")
    second = time.time()
    execute(cluster, "CREATE TABLE t (word text)", AFTER)
    with cluster.past(at=first) as then:
        assert value(then, ROWS) == "a"
        execute(then, AFTER)  # a cluster like any other
    with cluster.past(lsn=lsn) as then:
        assert value(then, ROWS) == "a b"
    with cluster.past(at=second) as then:
        assert value(then, "SELECT to_regclass('t')") is None
    assert value(cluster, ROWS) == "later"
    assert not then.home.exists()


def test_what_was_written_before_a_crash_counts(cluster: Cluster) -> None:
    import psutil

    execute(cluster, "CREATE TABLE t (word text)", "INSERT INTO t VALUES ('a')")
    then_ = time.time()
    pid = int((cluster.data / "postmaster.pid").read_text().split("\n")[0])
    server = psutil.Process(pid)
    killed = [server, *server.children()]
    for process in killed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(
        killed, 60
    )  # a killed one answers nothing, and is there a while longer on a busy machine
    cluster.start()
    execute(cluster, AFTER)
    with cluster.past(at=then_) as then:
        assert value(then, ROWS) == "a"


def test_a_long_log_begins_a_new_past(cluster: Cluster) -> None:
    began = cluster.remembers
    execute(
        cluster,
        "CREATE TABLE t (word text)",
        *(["CREATE TEMP TABLE x()", "SELECT pg_switch_wal()", "DROP TABLE x"] * 26),
    )
    cluster.stop()
    cluster.start()
    assert cluster.remembers is not None
    assert began is not None
    assert cluster.remembers > began
    execute(cluster, "INSERT INTO t VALUES ('a')")
    now = time.time()
    execute(cluster, AFTER)
    with cluster.past(at=now) as then:
        assert value(then, ROWS) == "a"


def test_without_history_nothing_is_kept(tmp_path: Path) -> None:
    plain = Cluster(tmp_path / "pg", durable=False)
    plain.start()
    try:
        assert plain.remembers is None
    finally:
        plain.remove()


def test_a_database_moves_with_owners_and_grants(cluster: Cluster) -> None:
    execute(cluster, "CREATE ROLE o", "CREATE ROLE r", "CREATE DATABASE a", "CREATE DATABASE b")
    made = (
        "CREATE SCHEMA s AUTHORIZATION o",
        "CREATE TABLE s.t (n serial)",
        "INSERT INTO s.t DEFAULT VALUES",
    )
    execute(cluster, *made, "ALTER TABLE s.t OWNER TO o", "GRANT SELECT ON s.t TO r", database="a")
    transfer(cluster, "a", cluster, "b")
    assert value(cluster, "SELECT tableowner FROM pg_tables WHERE tablename = 't'", "b") == "o"
    assert value(cluster, "SELECT has_table_privilege('r', 's.t', 'SELECT')", "b") is True
    assert value(cluster, "SELECT nextval('s.t_n_seq')", "b") == 2
