"""What the tests of patches share besides fixtures."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

from metamcp_deploy import process
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.patches import declaration, engine

SCHEMA = "metamcp_app"
PatchMaker = Callable[..., declaration.Patch]


def write(folder: Path, files: dict[str, str]) -> Path:
    """Writes files (dedented) below a folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(textwrap.dedent(text))
    return folder


def builtin(patch: str) -> declaration.Patch:
    """One of the package's patches."""
    return next(p for p in declaration.load() if p.id == patch)


def transformed(folder: Path, patch: str, path: str, before: str) -> str:
    """A file of a tree after one of the package's patches; the tree holds only that file."""
    write(folder, {path: before})
    engine.apply(folder, [builtin(patch)], {"schema": SCHEMA})
    return (folder / path).read_text()


def prepared(folder: Path, repository: Path, ref: str, **settings: object) -> Project:
    """What `prepare` leaves behind, as far as `patch` looks at it."""
    made = Project(folder, Settings.model_validate({"target": "local", **settings}))
    process.run(["git", "clone", "--quiet", repository, made.upstream])
    commit = process.run(["git", "-C", made.upstream, "rev-parse", f"{ref}^{{commit}}"]).stdout.strip()
    made.state.mkdir(parents=True)
    record = {"fingerprint": {}, "facts": {"commit": commit, "ref": ref}}
    (made.state / "prepare.json").write_text(json.dumps(record))
    return made
