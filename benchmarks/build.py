"""Processor time of `build --no-cache` of the real upstream, against install and build of the same tree by hand.

By hand the build also lints and checks types; the tool packs and proves the release in place of that. Both sides have
an empty package store and an empty home, and take turns on the machine. Ten minutes on two cores.

    python -m benchmarks.build
"""

from __future__ import annotations

import json
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.deploy import by_hand, with_pnpm
from benchmarks.upstream import environment, tool

SHARE = 0.9


def processor_time(work: Callable[[], object]) -> float:
    """Seconds of user and system time of all programs that `work` runs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named:
        scratch = Path(named)
        work = scratch / "work"
        work.mkdir()
        env = environment(scratch)
        for stage in ("prepare", "patch"):
            tool(stage, "-t", "local", cwd=work, env=env)
        tree = work / "build" / "metamcp"
        env = with_pnpm(scratch, json.loads((tree / "package.json").read_text())["packageManager"], env)
        hand = processor_time(lambda: by_hand(tree, scratch, env))
        ours = processor_time(lambda: tool("build", "-t", "local", "--no-cache", cwd=work, env=env))
    print(
        f"processor time: build {ours:.0f} s = {ours / hand:.2f} × by hand, {hand:.0f} s (at most {SHARE} ×)"
    )


if __name__ == "__main__":
    main()
