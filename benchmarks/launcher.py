"""From the launcher's start until all URLs answer, against the bare services started by hand from the same files.

    python -m benchmarks.launcher [--project FOLDER] [--runs 7]

Both sides take turns, on a database whose migrations are applied. The launcher starts as in its container: it unpacks
the release, looks at the migrations, and gets its database password. By hand the files are unpacked before.

Only the launcher writes to the disk (1200 files), so the disk counts against it alone. Where many files were deleted
within the last minutes, ext4 takes up to 1 ms of the kernel's time for each new one (it passes over recently deleted
inodes one by one; `perf` shows `recently_deleted`), against 0.06 ms: then wait, or name a folder elsewhere by TMPDIR.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.bundles import Bare, arguments, bundle, by_hand, launched
from metamcp_deploy.verify import throwaway

EXTRA, ABSOLUTE = 0.5, 3.0


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named, throwaway.database() as variables:
        scratch = Path(named)
        app = bundle(given.project, scratch) / "app"
        bare = Bare(app, scratch, variables)
        launched(app, scratch, variables)  # applies the migrations
        by_hand(bare)
        runs = [(launched(app, scratch, variables), by_hand(bare)) for _ in range(given.runs)]
    ours, theirs = (statistics.median(run[n] for run in runs) for n in (0, 1))
    best = [min(run[n] for run in runs) for n in (0, 1)]
    print(f"best of {given.runs}: launcher {best[0]:.2f} s, bare {best[1]:.2f} s; medians:")
    print(f"launcher {ours:.2f} s, bare {theirs:.2f} s: {ours - theirs:+.2f} s (at most +{EXTRA} s)")
    print(f"launcher at most {ABSOLUTE:g} s in all")
    sys.exit(0 if ours <= min(theirs + EXTRA, ABSOLUTE) else 1)


if __name__ == "__main__":
    main()
