"""What every trial gets: a folder, a cache, the command line, and the sample as a repository that it may change."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metamcp_deploy.upstream.sample import TAG, sample_repository

TOOL = (sys.executable, "-m", "metamcp_deploy")


@dataclass(frozen=True)
class Done:
    """A command that ended: `error` is what `-o json` reports, empty without one."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON document."""
        try:
            found = json.loads(self.out)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def error(self) -> dict[str, Any]:
        """Code, message, hint, detail of its failure."""
        found: dict[str, Any] = self.document.get("error") or {}
        return found

    def __str__(self) -> str:
        shown = f"$ {' '.join(self.words)}  -> exit {self.code} after {self.seconds:.1f} s"
        for name in ("code", "message", "hint"):
            if self.error.get(name):
                shown += f"\n    {name}: {self.error[name]}"
        if "Traceback" in self.err or self.code == 3:
            shown += f"\n    TRACEBACK OR BUG: {self.err[-1500:]}"
        return shown


@dataclass
class Bench:
    """A working folder with its own cache; `problems` is what did not hold."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    uri: str = ""  # of the app's database, once it was asked for

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cache = Path(os.environ.get("TRIALS_CACHE") or self.folder.parent / "cache")
        self.work = self.folder / "work"
        self.work.mkdir(exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("METAMCP_", "DATABRICKS_", "PG"))}
        self.env = {
            **kept,
            "METAMCP_CACHE_DIR": str(self.cache),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            **self.env,
        }

    def tool(self, *words: str, shown: bool = True, timeout: float = 900, **env: str) -> Done:
        """Runs `metamcp-deploy` in the working folder, with `-o json`."""
        done = self._ended(self.started(*words, **env), words, timeout)
        if shown:
            say(str(done))
        return done

    def started(self, *words: str, cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        """The same, not waited for."""
        return subprocess.Popen(
            [*TOOL, *words, "-o", "json"],
            cwd=cwd or self.work,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _ended(self, child: subprocess.Popen[str], words: tuple[str, ...], timeout: float) -> Done:
        began = time.monotonic()
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            self.wrong(f"{' '.join(words)} hung for {timeout:g} s")
        return Done(words, child.returncode, out, err, time.monotonic() - began)

    def ended(self, child: subprocess.Popen[str], *words: str, timeout: float = 600) -> Done:
        """What a started one came to."""
        done = self._ended(child, words, timeout)
        say(str(done))
        return done

    def wrong(self, problem: str) -> None:
        """Something that did not hold."""
        self.problems.append(problem)
        say(f"!! {problem}")

    def hold(self, true: object, problem: str) -> None:
        """Something that has to hold."""
        if not true:
            self.wrong(problem)

    def named(self, done: Done, *words: str) -> None:
        """A failure is an expected one, and names these words."""
        text = json.dumps(done.error)
        self.hold(done.code == 1, f"{done.words[0]} ended with {done.code}, not 1: {done.err[-400:]}")
        for word in words:
            self.hold(word in text, f"{done.words[0]} does not name {word!r}: {text[:600]}")

    def sample(self) -> Path:
        """A clone of the sample that may be changed; the tool uses it from now on."""
        clone = self.folder / "upstream"
        if not clone.exists():
            self.git("clone", "--quiet", str(sample_repository(self.cache)), str(clone), cwd=self.folder)
        self.env |= {"METAMCP_REPO_URL": str(clone), "METAMCP_REF": TAG}
        return clone

    def git(self, *words: str, cwd: Path) -> str:
        """git, as somebody."""
        who = {
            f"GIT_{r}_{k}": v for r in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "a"), ("EMAIL", "a@b.c"))
        }
        done = subprocess.run(
            ["git", *words], cwd=cwd, env={**os.environ, **who}, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def lines(self, app: str = "metamcp") -> list[str]:
        """The app's log."""
        log = self.work / "build" / "local" / "apps" / app / "app.log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def status(self) -> dict[str, Any]:
        """`local status` with credentials."""
        return self.tool("local", "status", "--with-credentials", shown=False).document

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """As the superuser, in the app's database."""
        import psycopg

        self.uri = self.uri or self.database()
        with psycopg.connect(self.uri, autocommit=True) as connection:
            found = connection.execute(statement.encode(), values or None)
            return found.fetchall() if found.description else []

    def database(self) -> str:
        """The URI of the app's database for the superuser."""
        found = json.dumps(self.status())
        uris = [
            w for w in found.replace('"', " ").split() if w.startswith("postgresql://") and "metamcp" in w
        ]
        return uris[-1]

    def reset(self) -> None:
        """Ends everything."""
        self.tool("local", "reset", "--auto-approve", shown=False, timeout=120)


def say(text: str) -> None:
    """A line of the trial, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def processes(mark: str, under: Path) -> Iterator[int]:
    """Ids of programs of a folder whose command line holds a word."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            home = (entry / "environ").read_bytes()
        except OSError:
            continue
        if mark in words and str(under).encode() in home + words.encode():
            yield int(entry.name)


def until(seconds: float, true: Any, pause: float = 0.05) -> bool:
    """Whether something becomes true in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if true():
            return True
        time.sleep(pause)
    return False


def clear(folder: Path) -> None:
    """Removes a folder."""
    shutil.rmtree(folder, ignore_errors=True)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """A copy."""
    return dict(given)
