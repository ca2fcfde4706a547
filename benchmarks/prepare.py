"""`prepare` with a warm mirror against `git clone` of that mirror: the stage's work, and the whole process.

    python -m benchmarks.prepare [--runs 7]

METAMCP_TEST_UPSTREAM names a clone of the upstream. Both sides take turns and check out the same commit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.upstream import environment, timed, tool

EXTRA = 0.4
WORK = (
    "import sys, time; from pathlib import Path; from metamcp_deploy.config import load; "
    "from metamcp_deploy.stages import prepare; step = prepare.step(load(Path(sys.argv[1]), target='local')); "
    "started = time.perf_counter(); step.run(); print(time.perf_counter() - started)"
)


def work(folder: Path, env: dict[str, str]) -> float:
    """Seconds of the stage's work in a fresh process, the libraries it loads included."""
    done = subprocess.run(
        [sys.executable, "-c", WORK, folder], env=env, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named:
        scratch = Path(named)
        env = environment(scratch)
        folder = scratch / "work"
        folder.mkdir()
        tool("prepare", "-t", "local", cwd=folder, env=env)
        mirror = next(p for p in (scratch / "cache" / "mirrors").iterdir() if p.is_dir())
        clone = ["git", "clone", "--quiet", mirror, scratch / "clone"]  # its HEAD is the pin
        took: list[tuple[float, float, float]] = []
        for _ in range(given.runs):
            shutil.rmtree(folder)
            folder.mkdir()
            inside = work(folder, env)
            shutil.rmtree(folder)
            folder.mkdir()
            whole = tool("prepare", "-t", "local", cwd=folder, env=env)
            took.append((inside, whole, timed(clone, cwd=scratch, env=env)))
            shutil.rmtree(scratch / "clone")
    inside, whole, cloned = (statistics.median(each[n] for each in took) for n in range(3))
    print(f"git clone of the mirror {cloned:.2f} s ({os.cpu_count()} cores)")
    print(f"prepare: its work {inside:.2f} s, the whole process {whole:.2f} s")
    print(f"{inside - cloned:+.2f} s and {whole - cloned:+.2f} s (at most +{EXTRA} s)")
    sys.exit(0 if inside - cloned <= EXTRA else 1)


if __name__ == "__main__":
    main()
