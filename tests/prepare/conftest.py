"""A small upstream in a real git repository, and a project that prepares from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metamcp_deploy import events
from metamcp_deploy.config.model import Settings, Upstream
from metamcp_deploy.config.project import Project
from tests.prepare.small_upstream import Prepared, Repository


@pytest.fixture
def upstream(tmp_path: Path) -> Repository:
    path = tmp_path / "upstream"
    path.mkdir()
    repository = Repository(path)
    repository.git("init", "--quiet")
    repository.git("symbolic-ref", "HEAD", "refs/heads/main")
    (path / "start.sh").write_text("#!/bin/sh\n")
    (path / "start.sh").chmod(0o755)
    repository.commit("first", tag="v2.4.21", annotated=False)
    repository.commit("second", tag="v2.4.22")
    repository.commit("third")
    return repository


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("METAMCP_CACHE_DIR", str(path))
    return path


@pytest.fixture
def prepared(folder: Path, upstream: Repository, cache: Path) -> Prepared:
    """`prepare` of v2.4.22 of the small upstream, with an empty cache of its own."""
    settings = Settings(target="local", upstream=Upstream(url=str(upstream.path), ref="v2.4.22"))
    return Prepared(Project(folder=folder, settings=settings))


@pytest.fixture
def said() -> Iterator[list[events.Event]]:
    """Everything emitted during the test."""
    seen: list[events.Event] = []
    with events.listening(seen.append):
        yield seen


@pytest.fixture
def over_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Repository) -> Callable[[str], str]:
    """Makes an ssh URL that leads to the small upstream through a script in place of ssh.

    The script's body decides how the connection behaves; `"$serve"` is the command that serves the repository.
    """

    def url(body: str) -> str:
        script = tmp_path / "transport"
        script.write_text(f'#!/bin/sh\nserve="git-upload-pack {upstream.path}"\n{body}\n')
        script.chmod(0o755)
        monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
        monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
        return "ssh://git.example.com/repository"

    return url
