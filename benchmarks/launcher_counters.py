"""Requests a second through the launcher with its counters, against the same launcher without them.

    python -m benchmarks.launcher_counters [--project FOLDER] [--rounds 12] [--seconds 2]

Both run at the same time, each with services of its own, and are asked in turns, the first one of each round in turns,
too. The processor time of the launcher's process for a request is shown as well: it depends less on what else the
machine does. Then how long the status takes, while the app starts and while it serves.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import requests

from benchmarks.bundles import SECRET, answering, arguments, bundle, node, proxied
from benchmarks.proxying import rate
from metamcp_deploy.verify import throwaway
from metamcp_deploy.verify.container import OPERATOR, Container

LEAST = 0.98
COUNTED = "counters: this.#counters, sessions"
STATUS = "/.metamcp-deploy/status"
_TICK = os.sysconf("SC_CLK_TCK")


def copied(app: Path, copy: Path, *, counting: bool) -> None:
    """A copy of a release, in which nothing is counted unless `counting`."""
    shutil.copytree(app, copy)
    start = copy / "start.mjs"
    text = start.read_text()
    assert text.count(COUNTED) == 1, "the launcher's source has changed: correct COUNTED"
    start.write_text(text if counting else text.replace(COUNTED, "counters: null, sessions"))


def processor_seconds(pid: int) -> float:
    """Of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def measured(container: Container, seconds: float) -> tuple[float, float]:
    """Requests a second, and microseconds of the launcher's processor time for each."""
    used, began = processor_seconds(container.pid), time.monotonic()
    found = asyncio.run(rate(container.url, seconds, proxied(container)))
    count = found * (time.monotonic() - began)
    return found, (processor_seconds(container.pid) - used) / count * 1e6


def status_times(container: Container, count: int) -> list[float]:
    """Milliseconds of so many answers in a row, on one connection."""
    times = []
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update({**proxied(container), "X-Forwarded-Email": OPERATOR})
        while len(times) < count:
            began = time.perf_counter()
            try:
                answer = session.get(container.url + STATUS, timeout=10)
            except requests.ConnectionError:
                continue  # it does not listen yet
            assert answer.status_code == 200, answer.text
            times.append((time.perf_counter() - began) * 1000)
            last = answer.json()["status"]
    print(
        f"status while {last}: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms of {count}"
    )
    return times


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named, ExitStack() as stack:
        scratch = Path(named)
        app = bundle(given.project, scratch) / "app"
        sides = []
        for name in ("with", "without"):
            variables = stack.enter_context(throwaway.database())
            copy = scratch / f"app-{name}"
            copied(app, copy, counting=name == "with")
            sides.append(
                stack.enter_context(
                    Container(copy, scratch / name, node(), {"BETTER_AUTH_SECRET": SECRET, **variables})
                )
            )
            if name == "with":
                status_times(sides[0], 20)
            answering(sides[-1].url, headers=proxied(sides[-1]))
        status_times(sides[0], 200)
        for container in sides:
            asyncio.run(rate(container.url, 3, proxied(container)))
        rounds = []
        for number in range(given.rounds):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            found = {n: measured(sides[n], given.seconds) for n in order}
            rounds.append((found[0], found[1]))
        status_times(sides[0], 200)
        for container in sides:
            container.stop(10)
    on, off = (statistics.median(one[n][0] for one in rounds) for n in (0, 1))
    part = statistics.median(one[0][0] / one[1][0] for one in rounds)
    costs = [statistics.median(one[n][1] for one in rounds) for n in (0, 1)]
    print(f"with counters {on:.0f}/s, without {off:.0f}/s")
    print(f"{costs[0]:.1f} and {costs[1]:.1f} µs of the launcher's processor time for a request")
    print(f"{part:.3f} of the requests (at least {LEAST:g})")
    sys.exit(0 if part >= LEAST else 1)


if __name__ == "__main__":
    main()
