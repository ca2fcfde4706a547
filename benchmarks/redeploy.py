"""A change of one setting, and redeploys under load: what is made again, and what clients notice.

    python -m benchmarks.redeploy [--project FOLDER] [--sessions 60]

FOLDER is one where the upstream has been built by this version of the tool (it is deployed in its own embedded
workspace, which is reset afterwards); without it METAMCP_TEST_UPSTREAM is built, which takes some minutes, or seconds
for the sample (a repository of `sample_repository`, with METAMCP_TEST_REF=sample-v1). Three redeploys: one after the
other, as the embedded workspace does by default, with `--overlap`, and with a health check (`app.health_check`).
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
CHANGED = ("--set", "app.env.LOG_LEVEL=debug")  # what stands in the bundle then, too
# Options of `local up`, and of `app-deploy`.
MODES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "one after the other": ((), ()),
    "overlap": (("--overlap",), ()),
    "health check": (("--gap",), ("--set", "app.health_check=300")),
}
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


async def load(url: str, token: str, sessions: int, stop: asyncio.Event) -> list[tuple[float, float, int]]:
    """Each session asks once a second until told to stop: (asked at, answered at, status), 0 without an answer."""
    found: list[tuple[float, float, int]] = []
    timeout = aiohttp.ClientTimeout(total=10)
    headers = {"Authorization": f"Bearer {token}"}

    async def ask(number: int) -> None:
        await asyncio.sleep(number / sessions)
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            while not stop.is_set():
                asked, status = time.monotonic(), 0
                try:
                    async with session.get(url, allow_redirects=False) as answer:
                        await answer.read()
                        status = answer.status
                except (aiohttp.ClientError, TimeoutError):
                    pass
                found.append((asked, time.monotonic(), status))
                await asyncio.sleep(max(0.0, 1 - (time.monotonic() - asked)))

    async with asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(ask(number))
    return sorted(found)


async def under_load(work: Path, env: dict[str, str], url: str, sessions: int, mode: str) -> None:
    """Redeploys meanwhile, and prints what was noticed."""
    token = told("token", "-t", "local", cwd=work, env=env)
    stop = asyncio.Event()
    running = asyncio.create_task(load(url + ROUTE, token, sessions, stop))
    await asyncio.sleep(SETTLED)
    words = ("app-deploy", "-t", "local", "--redeploy", *CHANGED, *MODES[mode][1])
    seconds = await asyncio.to_thread(tool, *words, cwd=work, env=env)
    await asyncio.sleep(SETTLED)
    stop.set()
    asked = await running
    statuses = dict(Counter(status for *_, status in asked))
    failed = [n for n, (*_, status) in enumerate(asked) if status != 200]
    gap = 0.0
    if failed:
        before = max((end for _, end, status in asked[: failed[0]] if status == 200), default=asked[0][0])
        after = min((end for _, end, status in asked[failed[-1] :] if status == 200), default=asked[-1][1])
        gap = after - before
    slowest = max((end - begun for begun, end, status in asked if status == 200), default=0.0)
    print(
        f"{mode}: {sessions} sessions, app-deploy {seconds:.1f} s; {len(asked)} asked, {len(failed)} failed, "
        f"gap {gap * 1000:.0f} ms, slowest good answer {slowest * 1000:.0f} ms, by status {statuses}",
        flush=True,
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sessions", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named:
        env = environment(Path(named))
        work = given.project.absolute() if given.project else Path(named) / "work"
        work.mkdir(exist_ok=True)
        try:
            first, sent, _ = deployed(cwd=work, env=env)
            again, more, kept = deployed(*CHANGED, cwd=work, env=env)
            state = json.loads((work / "build" / "state" / "app-deploy.json").read_text())["facts"]
            print(f"first deploy {first:.1f} s, {sent} files sent")
            print(
                f"with one setting changed {again:.1f} s, {more} files sent (must be 0), kept: {', '.join(kept)}"
            )
            for mode, (options, _) in MODES.items():
                if options:
                    told("local", "down", cwd=work, env=env)
                    told("local", "up", *options, cwd=work, env=env)
                    told("health", "-t", "local", "--wait", "60", cwd=work, env=env)
                asyncio.run(under_load(work, env, state["url"], given.sessions, mode))
        finally:
            tool("local", "reset", "--auto-approve", cwd=work, env=env)
    sys.exit(0 if not more and "build" in kept else 1)


if __name__ == "__main__":
    main()
