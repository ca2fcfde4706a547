"""Small trees for what must fail; the sample, really built, is in the tests' own conftest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metamcp_deploy import atomic
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose earlier stages have run, with a patched tree that has no dependencies and no build yet."""
    made = Project(folder=tmp_path / "project", settings=Settings(target="dev"))
    facts = {"url": "https://example.com/metamcp.git", "ref": "v2.4.22", "commit": "a" * 40}
    for stage, known in (("prepare", facts), ("patch", {"schema": "metamcp_app"})):
        record = {"fingerprint": {}, "facts": known}
        atomic.write(made.state / f"{stage}.json", json.dumps(record))
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
