"""The same as an ordinary user: when the tests run as root, in a child that has given up its rights."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
import traceback
from pathlib import Path

import psutil
import psycopg
import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import Cluster, binaries, initdb, postmaster
from metamcp_deploy.postgres.place import Place


def use_a_cluster(home: Path) -> None:
    assert os.geteuid() != 0
    cluster = Cluster(home)
    cluster.start()
    try:
        assert cluster.data == cluster.home / "data"
        with psycopg.connect(cluster.uri().reveal()) as connection:
            assert connection.execute("SELECT 6 * 7").fetchone() == (42,)
        server = postmaster.living(cluster.data)
        assert server
        assert psutil.Process(server.pid).uids().effective == os.geteuid()
    finally:
        cluster.remove()
    assert not home.exists()


def in_a_child_as(user: str, home: Path) -> str:
    """What went wrong in there, or nothing. A fork, since `user` may not be able to read this Python's files."""
    report = home.with_name("report")
    pid = os.fork()
    if pid == 0:
        try:
            account = pwd.getpwnam(user)
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            use_a_cluster(home)
            report.write_text("")
        except BaseException:
            report.write_text(traceback.format_exc())
        os._exit(0)
    os.waitpid(pid, 0)
    return report.read_text()


def test_an_ordinary_user_runs_it_too(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        use_a_cluster(tmp_path / "pg")
        return
    if not binaries.reachable(binaries.installed(), "nobody"):
        pytest.skip("the extra is installed where nobody but root can reach it")
    folder = Path(tempfile.mkdtemp(prefix="metamcp-test-", dir="/tmp"))
    shutil.chown(folder, "nobody")
    try:
        assert in_a_child_as("nobody", folder / "pg") == ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_uid_without_a_user_is_named(tmp_path: Path) -> None:
    """As containers have it that choose a uid themselves."""
    (tmp_path / "initdb").write_text(
        "#!/bin/sh\necho 'initdb: could not look up effective user ID 54321: user does not exist' >&2\nexit 1\n"
    )
    (tmp_path / "initdb").chmod(0o755)
    (tmp_path / "home").mkdir()
    with pytest.raises(DeployError) as caught:
        initdb.initialise(Place(tmp_path / "home", None), tmp_path, durable=False)
    assert caught.value.code is Code.POSTGRES_FAILED
    assert f"uid {os.geteuid()}" in caught.value.message
    assert "/etc/passwd" in caught.value.hint
