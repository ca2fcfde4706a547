"""Scenes in which acceptance cases take place: a working folder, its embedded workspace, and what was done there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from metamcp_deploy import local
from metamcp_deploy.config import load
from metamcp_deploy.config.project import Project
from tests import commands
from tests.deploy.tiny_app import APP, write_bundle

ANOTHER_RELEASE = "# another release"
# What differs from run to run, in the order of replacement.
_VOLATILE = (
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "{uuid}"),
    (r"\b\d{8}T[\d.]+Z-[0-9a-f]+\b", "{record}"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?UTC|Z|\+00:00)?", "{time}"),
    (r"\b[0-9a-f]{40}\b", "{commit}"),
    (r"\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])([0-9a-f]{32}|[0-9a-f]{12})\b", "{deployment}"),
    (r"\b[\d.]+ MB, PostgreSQL [\d.]+", "{size}, PostgreSQL {version}"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:{port}"),
    (r"\b\d+(\.\d+)? (ms|s)\b", "{duration}"),
)


@dataclass(frozen=True)
class Scene:
    """One scene, built by the commands of its file `before`.

    Attributes:
        project: the target `local` in the working folder.
        names: texts of this machine, and what stands for them in golden files.
    """

    project: Project
    names: dict[str, str]

    def run(self, line: str) -> CompletedProcess[str]:
        """Runs a command line as it stands in a case."""
        tool, *words = shlex.split(line)
        assert tool == "metamcp-deploy", line
        return commands.run(*words, folder=self.project.folder)

    def normal(self, text: str) -> str:
        """The text without what differs from run to run."""
        for name, placeholder in self.names.items():
            text = text.replace(name, placeholder)
        for pattern, placeholder in _VOLATILE:
            text = re.sub(pattern, placeholder, text)
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())

    def requests(self) -> list[str]:
        """What was asked of the embedded workspace by its user so far, normalised, with the answer's status."""
        log = self.project.local / "requests.jsonl"
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [self.normal(f"{r['method']} {r['path']} {r['status']}") for r in rows if r["by"] == "user"]


@contextmanager
def played(folder: Path, work: Path, cache: Path) -> Iterator[Scene]:
    """Sets a scene up: copies its input, writes a tiny app's bundle, runs its `before`."""
    shutil.copytree(folder / "input", work, dirs_exist_ok=True)
    project = load(work, target="local")
    scene = Scene(project, {str(work): "{folder}", str(cache): "{cache}"})
    local.up(project)
    try:
        before = folder / "before"
        for number, line in enumerate(before.read_text().splitlines() if before.exists() else (), 1):
            if line == ANOTHER_RELEASE:
                scene.names[write_bundle(project, f"{APP}// {number}")] = f"{{release of line {number}}}"
                continue
            done = scene.run(line)
            assert done.returncode == 0, (line, done.stdout, done.stderr)
        yield scene
    finally:
        local.reset(project)
