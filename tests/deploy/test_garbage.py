"""Garbage in any file that a run leaves below build/: no command ends as a bug."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metamcp_deploy import local
from metamcp_deploy.config.project import Project
from metamcp_deploy.stages import deploy
from tests import commands
from tests.deploy.tiny_app import settings, write_bundle

GARBAGE = b"\xff\xfe\x00{garbage\x80\n"
# The second one looks at all of build/.
COMMANDS = (("status",), ("bundle-deploy",))
LOCAL = (("status",), ("local", "status"))
# What Postgres alone reads, and what plays the part of the workspace.
_NOT_OURS = ("/data/", "/postgres/base/", "/source/", "/files/")


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path, settings())
    write_bundle(project)
    deploy.run(project, deploy.REMOTE)
    commands.write_target(project)
    yield project
    local.reset(project)


def left(project: Project) -> list[Path]:
    found = sorted(p for p in project.build.rglob("*") if p.is_file() and not p.is_symlink())
    return [p for p in found if not any(part in p.as_posix() for part in _NOT_OURS)]


def test_garbage_in_a_file_below_build_is_no_bug(mine: Project) -> None:
    files = left(mine)
    assert {mine.state / "lock-local", mine.state / "build.json", mine.local / "state.json"} <= {*files}
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(GARBAGE)
        for words in LOCAL if path.is_relative_to(mine.local) else COMMANDS:
            done = commands.run(*words, "-t", "local", folder=mine.folder)
            assert done.returncode in (0, 1), (path, words, done.stderr)
            if done.returncode == 1 and words[0] != "status":
                assert str(path) in done.stderr or f"metamcp-deploy {path.stem}" in done.stderr, (
                    path,
                    done.stderr,
                )
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["data/PG_VERSION", "password"])
def test_garbage_in_the_files_of_the_embedded_postgres_is_named(mine: Project, name: str) -> None:
    local.down(mine)
    postgres = mine.local / "postgres"
    (postgres / name).write_bytes(GARBAGE)
    done = commands.run("local", "up", "-t", "local", folder=mine.folder)
    assert done.returncode == 1
    assert Path(name).name in done.stderr
    assert "Traceback" not in done.stderr
    assert f"rm -r {postgres}" in done.stderr
