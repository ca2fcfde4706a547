"""GitPython's repositories: which environment git gets, and what is left when a command is ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metamcp_deploy import process
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.git.repository import FailedError, Repository
from tests.prepare.small_upstream import Repository as Upstream

READ = """
import sys
from pathlib import Path
from metamcp_deploy.git.repository import Remote, Repository, RemoteProgress
with Repository(Path(sys.argv[1])) as repository:
    tree = repository.tags["v2.4.22"].commit.tree
    text = (tree / "apps/backend/src/db/schema.ts").data_stream.read().decode()
    print(text, repository.is_dirty(untracked_files=True))
    clone = repository.clone(Path(sys.argv[2]), no_tags=True)
    Remote(clone, "origin").fetch(progress=RemoteProgress())
"""


def test_no_program_gets_the_callers_secrets(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the library is imported, nor its object reader, nor a clone or fetch."""
    real, log = shutil.which("git"), tmp_path / "log"
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "git"
    fake.write_text(f'#!/bin/sh\n{{ echo "== $*"; env; }} >> {log}\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DATABRICKS_TOKEN", "marked-secret")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")  # as in a hook

    argv = [sys.executable, "-c", READ, upstream.path, tmp_path / "clone"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("second False\n", "")
    logged = log.read_text()
    for command in ("cat-file --batch", "cat-file --batch-check", "status", "clone", "fetch"):
        assert any(command in line for line in logged.splitlines() if line.startswith("== -c core.hooksPath"))
    assert "marked-secret" not in logged
    assert "GIT_OBJECT_DIRECTORY" not in logged
    assert logged.count("HOME=") == logged.count("HOME=/dev/null")


def test_a_failed_command_carries_all_that_git_said(upstream: Upstream) -> None:
    with Repository(upstream.path) as repository, pytest.raises(FailedError) as error:
        repository.git.rev_parse("--verify", "nothing")

    assert "Needed a single revision" in error.value.complaint
    assert error.value.returncode == 128
    assert error.value.command_line.endswith("rev-parse --verify nothing")


def test_a_path_is_taken_as_it_is(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", "elsewhere")
    odd = tmp_path / "a $NAME"

    with Repository(upstream.path) as repository:
        repository.clone(odd).close()

    with Repository(odd) as clone:
        assert clone.git.rev_parse("--show-toplevel") == str(odd.resolve())


def test_a_silent_program_is_ended_with_what_it_started(tmp_path: Path) -> None:
    piped = process.Piped(
        ["/bin/sh", "-c", "echo complaint >&2; sleep 600 & echo $!; wait"],
        cwd=tmp_path,
        env=process.base_environment(),
        text=True,
        silence=0.5,
    )
    with piped:
        assert piped.stderr is not None
        assert piped.stdout is not None
        sleeping = int(piped.stdout.readline())
        assert piped.stderr.read() == "complaint\n"
        with pytest.raises(DeployError) as error:
            piped.finished()

    assert error.value.code is Code.PROCESS_SILENT
    assert error.value.detail == "complaint\n"
    with pytest.raises(ProcessLookupError):
        os.kill(sleeping, 0)
