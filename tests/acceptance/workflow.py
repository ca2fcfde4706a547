"""Runs a GitHub Actions workflow's commands as they stand: a runner in small, which refuses what it does not know."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.issuing import Issuer

SUBJECT = "repo:example/metamcp:environment:{}"
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
# Actions that only prepare the machine, which is prepared.
_NOTHING_TO_DO = ("actions/setup-python@", "actions/cache@")
INSTALL = "pip install -r requirements.txt"


@dataclass
class Runner:
    """Runs jobs in the order of their needs, each in a fresh clone.

    Attributes:
        repository: that the workflow belongs to.
        folder: where jobs work.
        environments: variables (`vars`) of each environment.
        base: environment of every command.
        ran: (job, command) of each command, in order.
        approved: called with each environment before its job, as a reviewer would be.
    """

    repository: Path
    folder: Path
    environments: Mapping[str, Mapping[str, str]]
    base: Mapping[str, str]
    approved: Callable[[str], None]
    ran: list[tuple[str, str]] = field(default_factory=list)
    output: dict[tuple[str, str], str] = field(default_factory=dict)

    def run(self, workflow: Path) -> None:
        document = yaml.safe_load(workflow.read_text())
        jobs: dict[str, Any] = document["jobs"]
        done: list[str] = []
        while len(done) < len(jobs):
            name = next(n for n, job in jobs.items() if n not in done and _needs(job) <= set(done))
            granted = jobs[name].get("permissions", document["permissions"])
            self._job(name, jobs[name], granted)
            done.append(name)

    def _job(self, name: str, job: Mapping[str, Any], granted: Mapping[str, str]) -> None:
        environment = job.get("environment")
        if environment:
            self.approved(environment)
        variables = {"vars": self.environments.get(environment or "", {}), "github": {"sha": self._sha()}}
        env = {k: _expanded(v, variables) for k, v in job.get("env", {}).items()}
        place = self.folder / name
        place.mkdir(parents=True)
        with Issuer(sub=SUBJECT.format(environment)) as issuer:
            tokens = issuer.environment if granted.get("id-token") == "write" else {}
            for step in job["steps"]:
                self._step(name, step, place, {**self.base, **env, **tokens}, variables)

    def _step(
        self,
        job: str,
        step: Mapping[str, Any],
        place: Path,
        env: Mapping[str, str],
        variables: Mapping[str, Any],
    ) -> None:
        if "run" in step:
            if step["run"] != INSTALL:
                command = _expanded(step["run"], variables)
                self.ran.append((job, command))
                self.output[job, command] = sh(command, place, env)
            return
        uses: str = step["uses"]
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", uses), f"{uses} is not pinned to a tag"
        if uses.startswith("actions/checkout@"):
            subprocess.run(["git", "clone", "-q", self.repository, place], check=True)
        elif uses.startswith("actions/upload-artifact@"):
            kept = self.folder / "artifacts" / step["with"]["name"]
            kept.mkdir(parents=True)
            shutil.copy(place / step["with"]["path"], kept)
        elif uses.startswith("actions/download-artifact@"):
            for path in (self.folder / "artifacts" / step["with"]["name"]).iterdir():
                shutil.copy(path, place)
        else:
            assert uses.startswith(_NOTHING_TO_DO), uses

    def _sha(self) -> str:
        words = ["git", "-C", str(self.repository), "rev-parse", "HEAD"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def sh(command: str, place: Path, env: Mapping[str, str]) -> str:
    """As GitHub runs a step: stops at the first command that fails; no terminal. Gives stdout."""
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=place,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def blocks(page: Path) -> Iterator[str]:
    """The shell blocks of a page."""
    return (match[1] for match in re.finditer(r"^```sh\n(.*?)^```", page.read_text(), re.M | re.S))


def _needs(job: Mapping[str, Any]) -> set[str]:
    needs = job.get("needs", [])
    return {needs} if isinstance(needs, str) else set(needs)


def _expanded(text: str, variables: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        part, _, name = match[1].partition(".")
        return str(variables[part][name])

    return _EXPRESSION.sub(value, text)
