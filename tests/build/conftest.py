"""One real build of the sample for the session, and small trees for what must fail."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.model import Settings, Upstream
from metamcp_deploy.config.project import Project
from metamcp_deploy.stages import build, patch, prepare
from metamcp_deploy.stages.sample import TAG, sample_repository


@pytest.fixture(scope="session")
def built_sample(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Project:
    """The sample, prepared, patched and built once: nobody may change its folder (see `workshop`)."""
    npmrc = Path.home() / ".npmrc"
    with pytest.MonkeyPatch.context() as patched:
        home = tmp_path_factory.mktemp("home")
        if npmrc.is_file():
            shutil.copy(npmrc, home)
        patched.setenv("HOME", str(home))
        patched.setenv("METAMCP_CACHE_DIR", str(shared_cache))
        upstream = Upstream(url=str(sample_repository(shared_cache)), ref=TAG)
        settings = Settings(target="dev", upstream=upstream)
        project = Project(
            folder=tmp_path_factory.mktemp("sample"), settings=settings, all_targets=(settings,)
        )
        for stage in (prepare, patch, build):
            pipeline.execute(stage.step(project), project.state)
    return project


@pytest.fixture
def workshop(built_sample: Project, tmp_path: Path) -> Project:
    """A copy of the built sample to work on. Files are shared by links: replace them, never write into them."""
    folder = tmp_path / "workshop"
    shutil.copytree(built_sample.folder, folder, symlinks=True, copy_function=os.link)
    return Project(folder=folder, settings=built_sample.settings, all_targets=built_sample.all_targets)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose earlier stages have run, with a patched tree that has no dependencies and no build yet."""
    made = Project(folder=tmp_path / "project", settings=Settings(target="dev"))
    facts = {"url": "https://example.com/metamcp.git", "ref": "v2.4.22", "commit": "a" * 40}
    for stage, known in (("prepare", facts), ("patch", {"schema": "metamcp_app"})):
        record = {"fingerprint": {}, "facts": known}
        pipeline.write_atomically(made.state / f"{stage}.json", json.dumps(record))
    write(
        made.patched,
        {
            "package.json": json.dumps(
                {
                    "name": "tiny",
                    "private": True,
                    "packageManager": "pnpm@9.0.0",
                    "scripts": {"build": "true"},
                }
            ),
            "pnpm-workspace.yaml": "packages:\n  - apps/*\n",
            "pnpm-lock.yaml": "lockfileVersion: '9.0'\n\nimporters:\n\n  .: {}\n",
        },
    )
    return made


@pytest.fixture
def emitted() -> Iterator[list[events.Event]]:
    """All events of the test."""
    seen: list[events.Event] = []
    with events.listening(seen.append):
        yield seen


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Writes files below a folder; an existing one is replaced, not written into."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture(name="write")
def _write() -> Callable[[Path, dict[str, str | bytes]], Path]:
    """`write`, for test modules."""
    return write
