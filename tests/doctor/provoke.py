"""Provokes every failure of the table in one embedded workspace, and prints what `doctor` says of it.

    python -m tests.doctor.provoke [--only NAME] [--pairs | --healthy] [--upstream CLONE] [--folder FOLDER] [--keep]

Deploys once: the sample, or with --upstream the clone's v2.4.22 (METAMCP_TEST_REF names another one). FOLDER is a
working folder to use, and to go on with; METAMCP_CACHE_DIR a cache with releases. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from metamcp_deploy import events
from metamcp_deploy.upstream.sample import TAG, sample_repository
from tests.doctor.provoking import pairs, runner, well
from tests.doctor.provoking.scene import Scene

REF = os.environ.get("METAMCP_TEST_REF", "v2.4.22")


def main() -> int:
    """Exit code 1 where a row is not as it should be."""
    asked = arguments().parse_args()
    folder = Path(asked.folder or tempfile.mkdtemp(prefix="metamcp-deploy-provoke-")).absolute()
    began = time.monotonic()
    scene = made(folder, asked.upstream)
    print(f"deployed in {time.monotonic() - began:.0f} s", flush=True)
    try:
        if asked.healthy:
            return healthy(scene)
        if asked.pairs:
            return two(scene, asked.only)
        print(runner.HEAD, flush=True)
        rows = []
        for row in runner.run(scene, runner.chosen(asked.only, bool(asked.upstream))):
            rows.append(row)
            print(row, flush=True)
            for remark in row.remarks:
                print(f"      {remark}", flush=True)
        provoked, first, good = (sum(getattr(r, of) for r in rows) for of in ("provoked", "first", "good"))
        print(f"{len(rows)} rows, {provoked} provoked, {first} named first, {good} as they should be")
        print(
            f"{len({r.case.id for r in rows if r.first})} diagnoses; {time.monotonic() - began:.0f} s in all"
        )
        return 0 if all(row.good for row in rows) else 1
    finally:
        if not asked.keep:
            scene.tool("local", "reset", "--auto-approve")
            shutil.rmtree(folder, ignore_errors=True)


def healthy(scene: Scene) -> int:
    """Where nothing is wrong."""
    wrong = 0
    for name, report, silent in well.run(scene):
        said = ", ".join(f"{f.level} {f.id}: {f.summary}" for f in report.findings) or "nothing"
        print(f"{name} | {said} | {report.seconds:.1f} s | {'yes' if silent else 'NO'}", flush=True)
        wrong += not silent
    return 1 if wrong else 0


def two(scene: Scene, only: list[str]) -> int:
    """Two causes at once."""
    found = []
    for pair in pairs.PAIRS:
        if only and not {*only} & {*pair}:
            continue
        found.append(pairs.provoked(scene, pair))
        print(found[-1], *found[-1].remarks, sep="\n      ", flush=True)
    print(f"{sum(one.good for one in found)} of {len(found)} pairs: both named, nothing else")
    return 0 if all(one.good for one in found) else 1


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.doctor.provoke")
    parser.add_argument("--only", action="append", default=[], help="name or diagnosis; repeatable")
    parser.add_argument("--pairs", action="store_true", help="two causes at once")
    parser.add_argument("--healthy", action="store_true", help="where nothing is wrong")
    parser.add_argument("--upstream", help="a clone of MetaMCP, in place of the sample")
    parser.add_argument("--folder", help="a working folder to use, and to go on with")
    parser.add_argument("--keep", action="store_true", help="leave the workspace up, and the folder")
    return parser


def made(folder: Path, upstream: str | None) -> Scene:
    """A scene with a healthy app. The home is one of its own: logins are written there."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    cache = Path(os.environ.get("METAMCP_CACHE_DIR") or Path.home() / ".cache" / "metamcp-deploy").absolute()
    for name in (".npmrc",):
        if (Path.home() / name).is_file() and not (home / name).exists():
            shutil.copy(Path.home() / name, home)
    for name in [n for n in os.environ if n.startswith(("DATABRICKS_", "METAMCP_", "PG"))]:
        del os.environ[name]
    os.environ |= {"HOME": str(home), "METAMCP_CACHE_DIR": str(cache), "NO_COLOR": "1"}
    source = {"url": upstream, "ref": REF} if upstream else {"url": str(sample_repository(cache)), "ref": TAG}
    scene = Scene(folder, source)
    scene.configure()
    scene.tool("local", "up", "--instances")
    scene.deploy()
    assert scene.healthy(60)
    return scene


if __name__ == "__main__":
    with events.listening(lambda event: None):
        sys.exit(main())
