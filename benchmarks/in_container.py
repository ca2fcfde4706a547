"""The launcher's start from a release, against install and build in the container at each start. A few minutes.

    python -m benchmarks.in_container [--project FOLDER] [--upstream CLONE] [--runs 3]

One run of `pnpm install --frozen-lockfile` and `pnpm build` of the upstream as it is, stores and home empty as a new
container has them, then the start of the same services (those of the release; a start from the built tree differs by
less than a hundredth of the whole). Node and pnpm are there before. The launcher starts a copy of the release.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from benchmarks.bundles import Bare, arguments, bundle, by_hand, launched
from benchmarks.upstream import REF, clone, environment, timed
from metamcp_deploy.release.build.node import of_extra
from metamcp_deploy.release.build.toolchain import make_bin, named_pnpm, ready_pnpm
from metamcp_deploy.verify import throwaway

TIMES = 40


def exported(scratch: Path) -> Path:
    """The upstream's files at the ref, without its history."""
    tree, packed = scratch / "upstream", scratch / "upstream.tar"
    subprocess.run(["git", "-C", clone(), "archive", f"--output={packed}", REF], check=True)
    with tarfile.open(packed) as archive:
        archive.extractall(tree, filter="data")
    packed.unlink()
    return tree


def with_toolchain(tree: Path, scratch: Path) -> dict[str, str]:
    """An environment with the platform's Node and the tree's package manager, and nothing else on this machine."""
    node = of_extra()
    if node is None:
        sys.exit("the extra `local` is not installed")
    env = environment(scratch)
    pnpm = ready_pnpm(node, named_pnpm(tree), scratch / "tools", env)
    return {**env, "PATH": f"{make_bin(scratch / 'bin', node, pnpm)}:{env['PATH']}"}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--upstream", type=Path, help="a clone of MetaMCP, in place of METAMCP_TEST_UPSTREAM")
    parser.add_argument("--runs", type=int, default=3, help="of the launcher; the median counts")
    given = parser.parse_args()
    if given.upstream:
        os.environ["METAMCP_TEST_UPSTREAM"] = str(given.upstream.absolute())
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named, throwaway.database() as variables:
        scratch = Path(named)
        app = bundle(given.project, scratch) / "app"
        launched(app, scratch, variables)  # applies the migrations
        ours = statistics.median(launched(app, scratch, variables) for _ in range(given.runs))
        tree = exported(scratch)
        env = with_toolchain(tree, scratch)
        store = ["--store-dir", str(scratch / "hand-store")]
        install = timed(["pnpm", "install", "--frozen-lockfile", *store], cwd=tree, env=env)
        build = timed(["pnpm", "build"], cwd=tree, env=env)
        start = by_hand(Bare(app, scratch, variables))
    whole = install + build + start
    print(f"in the container: install {install:.1f} s, build {build:.1f} s, start {start:.1f} s")
    print(f"launcher {ours:.2f} s: {whole / ours:.0f} × as fast (at least {TIMES} ×)")
    sys.exit(0 if whole >= TIMES * ours else 1)


if __name__ == "__main__":
    main()
