"""A small upstream in a real git repository, and `prepare` in a project, for the tests of this folder."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from metamcp_deploy import pipeline
from metamcp_deploy.config.model import Upstream
from metamcp_deploy.config.project import Project
from metamcp_deploy.stages import prepare

WHO = {
    f"GIT_{role}_{k}": v
    for role in ("AUTHOR", "COMMITTER")
    for k, v in {"NAME": "A", "EMAIL": "a@example.com", "DATE": "2026-01-02T03:04:05+00:00"}.items()
}


@dataclass(frozen=True)
class Repository:
    path: Path

    def git(self, *words: str) -> str:
        env = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            ["git", *words], cwd=self.path, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, text: str, *, tag: str | None = None, annotated: bool = True) -> str:
        """A new commit with `text` in a file, tagged; returns its id."""
        file = self.path / "apps/backend/src/db/schema.ts"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", text)
        if tag:
            self.git("tag", *(["--annotate", "--message", tag] if annotated else []), tag)
        return self.git("rev-parse", "HEAD")


@dataclass(frozen=True)
class Prepared:
    """A project, and `prepare` run in it as the pipeline does."""

    project: Project

    def pinned(self, ref: str, *, url: str | None = None, commit: str | None = None) -> Prepared:
        wanted = self.project.settings.upstream
        upstream = Upstream(url=url or wanted.url, ref=ref, commit=commit)
        settings = self.project.settings.model_copy(update={"upstream": upstream})
        return Prepared(replace(self.project, settings=settings))

    def without_cache(self) -> Prepared:
        return Prepared(replace(self.project, use_cache=False))

    def run(self) -> pipeline.Outcome:
        return pipeline.execute(prepare.step(self.project), self.project.state)

    @property
    def tree(self) -> Path:
        return self.project.upstream

    @property
    def schema(self) -> str:
        return (self.tree / "apps/backend/src/db/schema.ts").read_text()

    def head(self) -> str:
        return Repository(self.tree).git("rev-parse", "HEAD")
