"""`doctor` as a command on a healthy app, and where nothing answers: seconds from its start to its end.

    python -m benchmarks.doctor [--project FOLDER] [--runs 5]

FOLDER is one with an app that is deployed in its own embedded workspace, which stays; without it METAMCP_TEST_UPSTREAM
is deployed (the sample: a repository of `sample_repository`, with METAMCP_TEST_REF=sample-v1), and removed afterwards.
What hangs is undone.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.upstream import environment, tool

HEALTHY_SECONDS = 6.0
HANGING_SECONDS = 10.0
TOOL = (sys.executable, "-m", "metamcp_deploy")


def main() -> int:
    """Exit code 1 above a bound."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--project", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if asked.project:
            return measured(asked.project.absolute(), dict(os.environ), asked.runs)
        folder, env = Path(scratch, "work"), environment(Path(scratch))
        folder.mkdir()
        tool("deploy", "-t", "local", cwd=folder, env=env)
        try:
            return measured(folder, env, asked.runs)
        finally:
            tool("local", "reset", "--auto-approve", cwd=folder, env=env)


def measured(folder: Path, env: dict[str, str], runs: int) -> int:
    """Prints a line for each state of the app."""
    rows = [("a healthy app", HEALTHY_SECONDS, [run(folder, env, 0) for _ in range(runs)])]
    with faults(folder, env, ("stall", "* /api/*")):
        rows.append(("a workspace that hangs", HANGING_SECONDS, [run(folder, env, 1)]))
    with faults(folder, env, ("stall", "LOGIN *")), stopped(folder):
        rows.append(("an app and a database that hang", HANGING_SECONDS, [run(folder, env, 1)]))
    for name, most, found in rows:
        wall = statistics.median(seconds for seconds, _ in found)
        used = statistics.median(seconds for _, seconds in found)
        worst = max(seconds for seconds, _ in found)
        print(f"{name}: {wall:.2f} s (worst {worst:.2f}), {used:.2f} s of a processor; at most {most:g} s")
    return 0 if all(seconds <= most for _, most, found in rows for seconds, _ in found) else 1


def run(folder: Path, env: dict[str, str], expected: int) -> tuple[float, float]:
    """Seconds of one run, and of a processor; ends the benchmark where it exits otherwise than expected."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [*TOOL, "doctor", "-t", "local"], cwd=folder, env=env, capture_output=True, text=True
    )
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != expected:
        sys.exit(f"doctor ended with {done.returncode}\\n{done.stdout[-3000:]}\\n{done.stderr[-2000:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def faults(folder: Path, env: dict[str, str], *wanted: tuple[str, str]) -> Iterator[None]:
    """Faults of the embedded workspace for this login."""
    for what, route in wanted:
        tool("local", "faults", "add", what, route, "--by", "operator", cwd=folder, env=env)
    try:
        yield
    finally:
        tool("local", "faults", "clear", cwd=folder, env=env)


@contextmanager
def stopped(folder: Path) -> Iterator[None]:
    """The app's launcher takes connections and answers nothing."""
    here = str(folder.resolve())
    launcher = next(
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if "metamcp-launcher" in " ".join(process.info["cmdline"] or [])
        and str(process.info["cwd"] or "").startswith(here)
    )
    launcher.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        launcher.send_signal(signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(main())
