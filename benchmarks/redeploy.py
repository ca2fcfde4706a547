"""A change of one setting, and a redeploy under load: what is made again, and what clients notice.

    python -m benchmarks.redeploy [--project FOLDER] [--rate 20]

FOLDER is one where the upstream has been built by this version of the tool (it is deployed in its own embedded
workspace, which is reset afterwards); without it METAMCP_TEST_UPSTREAM is built, which takes some minutes. The embedded
workspace stops the old process before it starts the new one: the gap is the whole time in which nothing answers well.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp

from benchmarks.bundles import arguments
from benchmarks.upstream import environment, tool

TOOL = (sys.executable, "-m", "metamcp_deploy")
ROUTE = "/metamcp"  # asks the database
SETTLED = 3.0  # seconds of load before and after


def told(*words: str, cwd: Path, env: dict[str, str]) -> str:
    """Standard output of a command."""
    done = subprocess.run([*TOOL, *words], cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{words} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return done.stdout.strip()


def deployed(*words: str, cwd: Path, env: dict[str, str]) -> tuple[float, int, list[str]]:
    """Seconds of a whole deploy, how many files it sent, and which stages found nothing to do."""
    began = time.perf_counter()
    argv = [*TOOL, "deploy", "-t", "local", *words]
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{argv} ended with {done.returncode}\n{done.stderr[-4000:]}")
    sent = sum(int(n) for n in re.findall(r"(?m)^\s*sent\s+release .*\((\d+) files", done.stderr))
    kept = re.findall(r"(?m)^\s*kept\s+([a-z-]+(?:, [a-z-]+)*)\s*$", done.stderr)
    return seconds, sent, kept[-1].split(", ") if kept else []


async def load(url: str, token: str, rate: float, stop: asyncio.Event) -> list[tuple[float, float, int]]:
    """Asks at a fixed rate until told to stop: (asked at, answered at, status), 0 without an answer."""
    found: list[tuple[float, float, int]] = []
    timeout = aiohttp.ClientTimeout(total=10)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:

        async def one() -> None:
            asked, status = time.monotonic(), 0
            try:
                async with session.get(url, allow_redirects=False) as answer:
                    await answer.read()
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError):
                pass
            found.append((asked, time.monotonic(), status))

        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                group.create_task(one())
                await asyncio.sleep(1 / rate)
    return sorted(found)


async def under_load(work: Path, env: dict[str, str], url: str, rate: float) -> None:
    """Redeploys meanwhile, and prints what was noticed."""
    token = told("token", "-t", "local", cwd=work, env=env)
    stop = asyncio.Event()
    running = asyncio.create_task(load(url + ROUTE, token, rate, stop))
    await asyncio.sleep(SETTLED)
    seconds = await asyncio.to_thread(tool, "app-deploy", "-t", "local", "--redeploy", cwd=work, env=env)
    await asyncio.sleep(SETTLED)
    stop.set()
    asked = await running
    statuses = Counter(status for *_, status in asked)
    failed = [n for n, (*_, status) in enumerate(asked) if status != 200]
    gap = 0.0
    if failed:
        before = max((end for _, end, status in asked[: failed[0]] if status == 200), default=asked[0][0])
        after = min((end for _, end, status in asked[failed[-1] :] if status == 200), default=asked[-1][1])
        gap = after - before
    slowest = max((end - begun for begun, end, status in asked if status == 200), default=0.0)
    print(
        f"redeploy under {rate:g} requests/s: app-deploy {seconds:.1f} s; {len(asked)} asked, {len(failed)} failed"
    )
    print(f"gap {gap * 1000:.0f} ms, slowest good answer {slowest * 1000:.0f} ms, by status {dict(statuses)}")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rate", type=float, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named:
        env = environment(Path(named))
        work = given.project.absolute() if given.project else Path(named) / "work"
        work.mkdir(exist_ok=True)
        try:
            first, sent, _ = deployed(cwd=work, env=env)
            again, more, kept = deployed("--set", "app.env.LOG_LEVEL=debug", cwd=work, env=env)
            state = json.loads((work / "build" / "state" / "app-deploy.json").read_text())["facts"]
            print(f"first deploy {first:.1f} s, {sent} files sent")
            print(
                f"with one setting changed {again:.1f} s, {more} files sent (must be 0), kept: {', '.join(kept)}"
            )
            asyncio.run(under_load(work, env, state["url"], given.rate))
        finally:
            tool("local", "reset", "--auto-approve", cwd=work, env=env)
    sys.exit(0 if not more and "build" in kept else 1)


if __name__ == "__main__":
    main()
