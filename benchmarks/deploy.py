"""`deploy -t local` of the real upstream, stores empty, against install and build of the same tree by hand; then again.

Both sides have Node and pnpm, an empty package store and an empty home. A few minutes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.upstream import environment, timed, tool

SHARE, EXTRA, AGAIN = 1.15, 20, 8


def with_pnpm(scratch: Path, wanted: str, env: dict[str, str]) -> dict[str, str]:
    """The environment with the tree's package manager on PATH, for both sides: not part of what is measured."""
    prefix = scratch / "pnpm"
    npm = ["npm", "install", "--global", "--prefix", str(prefix), wanted]
    subprocess.run(npm, env=env, check=True, capture_output=True)
    return {**env, "PATH": f"{prefix / 'bin'}:{env['PATH']}"}


def by_hand(tree: Path, scratch: Path, env: dict[str, str]) -> tuple[float, float]:
    shutil.copytree(tree, scratch / "hand")
    store = ["--store-dir", str(scratch / "hand-store")]
    install = timed(["pnpm", "install", "--frozen-lockfile", *store], cwd=scratch / "hand", env=env)
    return install, timed(["pnpm", "build"], cwd=scratch / "hand", env=env)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named:
        scratch = Path(named)
        work = scratch / "work"
        work.mkdir()
        env = environment(scratch)
        first = ["prepare", "patch"]
        for stage in first:
            tool(stage, "-t", "local", cwd=work, env=env)
        tree = work / "build" / "metamcp"
        env = with_pnpm(scratch, json.loads((tree / "package.json").read_text())["packageManager"], env)
        install, build = by_hand(tree, scratch, env)
        shutil.rmtree(work)
        work.mkdir()
        shutil.rmtree(scratch / "cache" / "mirrors", ignore_errors=True)
        try:
            whole = tool("deploy", "-t", "local", cwd=work, env=env)
            again = tool("deploy", "-t", "local", cwd=work, env=env)
            subprocess.run(
                [sys.executable, "-m", "metamcp_deploy", "health", "-t", "local"],
                cwd=work,
                env=env,
                check=True,
            )
        finally:
            tool("local", "down", cwd=work, env=env)
    hand = install + build
    print(f"by hand: install {install:.1f} s, build {build:.1f} s")
    bound = SHARE * hand + EXTRA
    print(
        f"deploy {whole:.1f} s = {whole / hand:.2f} × by hand (at most {SHARE} × + {EXTRA} s = {bound:.1f} s)"
    )
    print(f"again {again:.1f} s (at most {AGAIN} s)")


if __name__ == "__main__":
    main()
