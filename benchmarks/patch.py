"""The work of stage `patch` on the whole tree: from a pinned commit to the checked, patched tree.

python -m benchmarks.patch CLONE [REF]     CLONE: a clone of the upstream; REF: v2.4.22 unless given
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 11
BOUND = 0.5


def one_run(folder: Path) -> float:
    """Seconds of the stage's work in a fresh process, the libraries it loads included."""
    program = (
        "import sys, time; from pathlib import Path; from metamcp_deploy.config.model import Settings; "
        "from metamcp_deploy.config.project import Project; from metamcp_deploy.stages import patch; "
        "step = patch.step(Project(Path(sys.argv[1]), Settings(target='local'))); "
        "started = time.perf_counter(); step.run(); print(time.perf_counter() - started)"
    )
    done = subprocess.run([sys.executable, "-c", program, folder], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    clone, ref = sys.argv[1], (sys.argv[2:] or ["v2.4.22"])[0]
    with tempfile.TemporaryDirectory() as made:
        upstream = Path(made, "build", "upstream")
        subprocess.run(["git", "clone", "--quiet", clone, upstream], check=True)
        found = ["git", "-C", upstream, "rev-parse", f"{ref}^{{commit}}"]
        commit = subprocess.run(found, check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(["git", "-C", upstream, "checkout", "--quiet", commit], check=True)
        Path(made, "build", "state").mkdir()
        record = {"fingerprint": {}, "facts": {"commit": commit}}
        Path(made, "build", "state", "prepare.json").write_text(json.dumps(record))
        took = [one_run(Path(made)) for _ in range(RUNS)]
        copied, started = Path(made, "copy"), time.perf_counter()
        subprocess.run(["git", "clone", "--quiet", "--shared", upstream, copied], check=True)
        checkout = time.perf_counter() - started
    median = statistics.median(took)
    print(f"patch {ref}: median {median:.2f} s, best {min(took):.2f} s of {RUNS} (must be at most {BOUND} s)")
    print(f"ratio to a git checkout of the same tree: {median / checkout:.1f}")


main()
