"""See the package's docstring."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

from tests.faults import trials
from tests.faults.trials.bench import Bench, clear, say

NAMES = ("migrations", "lock", "tags", "caches", "scratch", "sessions", "rollback", "machine")


def main(names: list[str]) -> int:
    """Runs the trials of these names; how many things did not hold."""
    if not names:
        print(trials.__doc__, "\n".join(NAMES), sep="\n")
        return 0
    top, problems = Path(tempfile.mkdtemp(prefix="trials-")), []
    top.chmod(0o755)
    for name in names:
        bench = Bench(top / name)
        say(f"===== {name} in {bench.folder}")
        try:
            importlib.import_module(f"tests.faults.trials.{name}").run(bench)
        finally:
            bench.reset()
            problems += [f"{name}: {problem}" for problem in bench.problems]
    print("\n".join(problems) or "everything held", flush=True)
    if not problems:
        clear(top)
    return len(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
