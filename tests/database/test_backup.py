"""Backups, restores and the owner of what is restored, with the real programs of PostgreSQL."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import adoption, backup, checks, encryption, opening, restore, tools
from metamcp_deploy.errors import Code, DeployError
from tests import commands
from tests.database.conftest import SCHEMA, World
from tests.database.test_db_commands import Run, document, on_call

__all__ = ["on_call"]
SHARED = f"{SCHEMA}_owner"
PASSPHRASE = Secret("correct horse battery")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes a guess expensive does so for tests."""
    monkeypatch.setattr(encryption, "_COST", 2**10)


def fill(world: World) -> None:
    with world.superuser(world.role) as made:
        made.execute(
            f"INSERT INTO {SCHEMA}.endpoints SELECT n, 'name ' || n, 'up' FROM generate_series(1, 500) n"
        )
        made.execute(f"INSERT INTO {SCHEMA}.servers (endpoint) SELECT n FROM generate_series(1, 200) n")


@pytest.fixture(scope="module")
def kept(autoscaling: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup."""
    file = tmp_path_factory.mktemp("kept") / "b"
    autoscaling.migrate()
    fill(autoscaling)
    backup.save(autoscaling.project, file)
    autoscaling.forget()
    return file


@pytest.fixture
def empty(kept: Path, autoscaling: World) -> Iterator[World]:
    """The app before its first start."""
    yield autoscaling
    with autoscaling.superuser() as made:
        made.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        made.execute(f"DROP ROLE IF EXISTS {SHARED}")


@pytest.fixture
def filled(empty: World, world: World) -> World:
    fill(world)
    return world


def test_there_and_back(filled: World, tmp_path: Path) -> None:
    """As the creator of the project, who is no member of the app's role, as on the platform."""
    file = tmp_path / "metamcp.backup"
    saved = backup.save(filled.project, file)
    assert "all rows of 3 tables are the same" in saved.proof
    assert {name: count for name, (count, _) in saved.about.tables.items()} == {
        "__drizzle_migrations": "2",
        "endpoints": "500",
        "servers": "200",
    }
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(backup.beside(file).stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metamcp.backup", "metamcp.backup.json"]
    with pytest.raises(DeployError) as caught:
        restore.restore(filled.project, file, None)
    assert caught.value.code is Code.SCHEMA_OCCUPIED
    filled.forget()
    planned = restore.plan(filled.project, file, None)
    assert [(c.kind, c.name) for c in planned.changes] == [("role", SHARED), ("schema", SCHEMA)]
    done = restore.restore(filled.project, file, None)
    assert (done.owner, done.tables, done.compared) == (SHARED, 3, True)
    with opening.opened(filled.project) as seen:
        assert [one.id for one in checks.check(seen) if one.level is not checks.Level.OK] == []
    with filled.superuser(filled.role) as made:  # what the app's next migration does
        made.execute(f"ALTER TABLE {SCHEMA}.servers ADD COLUMN more text")
        made.execute(f"INSERT INTO {SCHEMA}.servers (endpoint) VALUES (7)")
        made.execute(f"CREATE TABLE {SCHEMA}.another ()")
        assert made.execute(f"SELECT max(id) FROM {SCHEMA}.servers").fetchone() == (201,), "sequences go on"


def test_what_the_app_s_member_restores_is_the_app_s(empty: World, kept: Path) -> None:
    with granted(empty, empty.role):
        done = restore.restore(empty.project, kept, None)
        with opening.opened(empty.project) as seen:
            assert seen.schema.owners == (empty.role,)
    assert done.owner == empty.role


class granted:  # noqa: N801
    """Membership of the developer for the time of a block."""

    def __init__(self, world: World, role: str, admin: bool = False) -> None:
        self.world, self.role, self.admin = world, sql.Identifier(role), admin

    def __enter__(self) -> None:
        how = "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE" if self.admin else ""
        self._do(f'GRANT {{}} TO "developer@example.com" {how}')

    def __exit__(self, *_: object) -> None:
        self._do('REVOKE {} FROM "developer@example.com" CASCADE')

    def _do(self, text: str) -> None:
        with self.world.superuser() as made:
            made.execute(sql.SQL(text).format(self.role))  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, 5, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_nothing_of_an_encrypted_file_can_be_changed(tmp_path: Path, length: int) -> None:
    plain, sealed, opened = (tmp_path / name for name in ("plain", "sealed", "opened"))
    plain.write_bytes(os.urandom(length))
    encryption.encrypt(plain, sealed, PASSPHRASE)
    assert encryption.is_encrypted(sealed)
    encryption.decrypt(sealed, opened, PASSPHRASE)
    assert opened.read_bytes() == plain.read_bytes()
    if length != (1 << 20) + 1:
        return
    whole = sealed.read_bytes()
    block, head = (1 << 20) + 16, len(encryption.MAGIC) + 23
    swapped = whole[:head] + whole[head + block :] + whole[head : head + block]
    for other in (whole[:-1], whole[: head + block], whole[:-3] + b"abc", swapped, whole + b"x"):
        sealed.write_bytes(other)
        with pytest.raises(DeployError) as caught:
            encryption.decrypt(sealed, opened, PASSPHRASE)
        assert caught.value.code is Code.BACKUP_INVALID


def test_files_that_are_no_backup_of_it(
    empty: World, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "b"
    file.write_text("nothing")
    with pytest.raises(DeployError) as caught:
        backup.save(empty.project, file)
    assert caught.value.code is Code.FILE_ACCESS
    with pytest.raises(DeployError) as caught:
        restore.restore(empty.project, file, None)
    assert caught.value.code is Code.BACKUP_INVALID
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    backup.beside(file).write_bytes(backup.beside(kept).read_bytes())
    with pytest.raises(DeployError) as caught:
        restore.restore(empty.project, file, None)
    assert "is not the one that b.json is about" in caught.value.message
    file.write_bytes(kept.read_bytes()[:-300])
    backup.beside(file).unlink()
    with pytest.raises(DeployError) as caught:
        restore.restore(empty.project, file, None)
    listed = restore._listed
    monkeypatch.setattr(
        restore, "_listed", lambda path: listed(path).replace("database version: 16", "database version: 18")
    )
    with pytest.raises(DeployError) as caught:
        restore.restore(empty.project, kept, None)
    assert "a dump of a newer version" in caught.value.message
    with opening.opened(empty.project) as seen:
        assert not seen.schema.exists, "nothing stays of what was not restored"


def test_programs_of_another_version_are_named() -> None:
    with pytest.raises(DeployError) as caught:
        tools.program("pg_dump", 99)
    assert caught.value.code is Code.TOOL_MISSING
    assert "PostgreSQL 99" in caught.value.message
    assert "16 (" in caught.value.message
    assert "postgresql-client-99" in caught.value.hint


def test_who_may_not_read_it_is_told(filled: World, tmp_path: Path) -> None:
    with filled.superuser() as made:
        made.execute('REVOKE databricks_superuser FROM "developer@example.com"')
        try:
            with pytest.raises(DeployError) as caught:
                backup.save(filled.project, tmp_path / "b")
        finally:
            made.execute('GRANT databricks_superuser TO "developer@example.com"')
    assert "may not read all of the schema" in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_commands_with_a_passphrase(filled: World, on_call: Run, tmp_path: Path) -> None:
    file = tmp_path / "b"
    secret = tmp_path / "passphrase"
    secret.write_text("marked passphrase\n")
    found = document(on_call("backup", str(file), "--passphrase-file", str(secret), "-o", "json"))
    assert found["rows"] == {"__drizzle_migrations": 2, "endpoints": 500, "servers": 200}
    assert b"PGDMP" not in file.read_bytes()
    filled.forget()
    assert "is encrypted" in on_call("restore", str(file), "--plan").stderr
    words = ("restore", str(file), "--passphrase-file", str(secret))
    secret.write_text("another passphrase")
    assert "does not open" in on_call(*words, "--plan").stderr
    secret.write_text("marked passphrase")
    planned = document(on_call(*words, "--plan", "-o", "json"))
    assert planned["counts"] == {"create": 2}
    assert "needs your word" in " ".join(on_call(*words).stderr.split())
    done = on_call(*words, "--auto-approve")
    assert "the same rows as were saved" in done.stdout
    assert "marked passphrase" not in done.stdout + done.stderr + json.dumps(found)


def former(world: World) -> str:
    """The schema belongs to the principal of an app that was deleted: its role stays."""
    with world.superuser() as made:
        made.execute("CREATE ROLE former LOGIN")
        made.execute(f"ALTER SCHEMA {SCHEMA} OWNER TO former")
        for kind, name in (
            *(("TABLE", name) for name in ("endpoints", "servers", "__drizzle_migrations")),
            ("TYPE", "status"),
        ):
            made.execute(sql.SQL(f"ALTER {kind} {SCHEMA}.{name} OWNER TO former"))
    return "former"


@pytest.fixture
def orphaned(filled: World) -> Iterator[World]:
    former(filled)
    yield filled
    filled.forget()
    with filled.superuser() as made:
        made.execute("DROP ROLE former")


def test_adopting_what_one_may_hand_over(orphaned: World, on_call: Run) -> None:
    with granted(orphaned, "former"), granted(orphaned, orphaned.role):
        planned = document(on_call("adopt", "--plan", "-o", "json"))
        assert (planned["way"], planned["owners"]) == (adoption.REASSIGN, ["former"])
        assert planned["counts"] == {"change": 5}
        assert on_call("adopt", "--auto-approve").returncode == 0
        with opening.opened(orphaned.project) as seen:
            assert seen.schema.owners == (orphaned.role,)
        assert "Nothing to adopt" in on_call("adopt").stdout


def test_adopting_by_a_role_of_ones_own(orphaned: World, on_call: Run) -> None:
    """A member of the former role that is none of the app's: the objects get an owner that both are members of."""
    with granted(orphaned, "former"):
        assert on_call("adopt", "--auto-approve").returncode == 0
    with opening.opened(orphaned.project) as seen:
        assert seen.schema.owners == (SHARED,)
        assert not seen.schema.foreign


def test_adopting_by_a_grant(orphaned: World, on_call: Run) -> None:
    with granted(orphaned, "former", admin=True):
        planned = document(on_call("adopt", "--plan", "-o", "json"))
        assert planned["way"] == adoption.GRANT
        assert on_call("adopt", "--auto-approve").returncode == 0
        with opening.opened(orphaned.project) as seen:
            assert not seen.schema.foreign
        with orphaned.superuser() as made:
            made.execute(f'REVOKE former FROM "{orphaned.role}" CASCADE')


def test_adopting_what_nobody_here_may_hand_over(orphaned: World, on_call: Run) -> None:
    """The creator of a Lakebase project after the app was made anew: what is left is a copy."""
    done = on_call("adopt", "--auto-approve")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "may neither hand over what belongs to former, nor grant that role" in said
    assert "db backup" in said
    assert "db restore" in said
    assert "copy it" in on_call("adopt", "--plan").stdout


def test_psql_reads_only_unless_asked_for(
    filled: World, on_call: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("--", "-tAc", "SELECT count(*), current_user FROM endpoints")
    assert psql(filled, *words) == 0
    assert "500|developer@example.com" in capfd.readouterr().out
    assert psql(filled, "--", "-c", "CREATE TABLE public.x ()") == 1
    assert "read-only transaction" in capfd.readouterr().err
    assert (
        psql(filled, "--write", "--", "-c", f"UPDATE {SCHEMA}.endpoints SET name = 'x' WHERE uuid = 1") == 0
    )
    assert "UPDATE 1" in capfd.readouterr().out


def psql(world: World, *words: str) -> int:
    from tests.commands import write_target

    write_target(world.project)
    done = commands.run("db", "psql", *words, folder=world.project.folder)
    return done.returncode
