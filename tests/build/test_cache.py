"""Releases kept in the cache: a second folder builds nothing, and nothing that is not whole is taken."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.release.build.cache import Cache, digests
from metamcp_deploy.stages import build

Write = Callable[[Path, dict[str, str | bytes]], Path]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "releases")


@pytest.fixture
def app(tmp_path: Path, write: Write) -> Path:
    return write(tmp_path / "app", {"start.mjs": "start", "release.json": "{}"})


def test_another_folder_builds_nothing(
    built_sample: Project, tmp_path: Path, emitted: list[events.Event]
) -> None:
    other = Project(tmp_path / "other", built_sample.settings, built_sample.all_targets)
    for path in (built_sample.state / "prepare.json", built_sample.state / "patch.json"):
        other.state.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, other.state)
    shutil.copytree(built_sample.patched, other.patched, symlinks=True)
    outcome = pipeline.execute(build.step(other), other.state)
    assert outcome.facts["cached"]
    assert digests(other.bundle) == digests(built_sample.bundle)
    assert not [e for e in emitted if isinstance(e, events.Output)]
    finished = next(e for e in emitted if isinstance(e, events.StageFinished))
    assert finished.summary.startswith(f"release {outcome.facts['release']} from the cache, ")
    assert pipeline.why(build.step(other), other.state) is None


def test_kept_and_taken(cache: Cache, app: Path, tmp_path: Path) -> None:
    cache.keep("key", app)
    assert cache.take("key", tmp_path / "taken")
    assert digests(tmp_path / "taken") == digests(app)
    assert not cache.take("other", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_is_kept_again_replaces(cache: Cache, app: Path, tmp_path: Path, write: Write) -> None:
    cache.keep("key", app)
    write(app, {"release.json": '{"verified": true}'})
    cache.keep("key", app)
    assert cache.take("key", tmp_path / "taken")
    assert (tmp_path / "taken/release.json").read_text() == '{"verified": true}'
    assert cache.folder is not None
    assert [p.name for p in cache.folder.iterdir()] == ["key"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda kept: (kept / "app/start.mjs").write_text("other"),
        lambda kept: (kept / "app/start.mjs").unlink(),
        lambda kept: (kept / "app/more").write_text(""),
        lambda kept: (kept / "contents.json").write_text("{"),
        lambda kept: (kept / "contents.json").unlink(),
        lambda kept: shutil.rmtree(kept / "app"),
    ],
)
def test_what_is_not_whole_is_removed_and_said(
    cache: Cache,
    app: Path,
    tmp_path: Path,
    harm: Callable[[Path], object],
    emitted: list[events.Event],
) -> None:
    assert cache.folder is not None
    cache.keep("key", app)
    harm(cache.folder / "key")
    assert not cache.take("key", tmp_path / "taken")
    assert not (tmp_path / "taken").exists()
    assert not (cache.folder / "key").exists()
    assert [type(e) for e in emitted] == [events.Warned]


def test_only_the_newest_stay(cache: Cache, app: Path, tmp_path: Path) -> None:
    assert cache.folder is not None
    for n in range(10):
        cache.keep(f"key{n}", app)
        os.utime(cache.folder / f"key{n}", (n, n))
        if n == 6:
            assert cache.take("key0", tmp_path / "taken")  # taken lately, so it stays
    assert sorted(p.name for p in cache.folder.iterdir()) == ["key0", *(f"key{n}" for n in range(3, 10))]


def test_without_cache_nothing_is_taken_or_kept(app: Path, tmp_path: Path) -> None:
    cache = Cache.of(use_cache=False)
    cache.keep("key", app)
    assert not cache.take("key", tmp_path / "taken")
