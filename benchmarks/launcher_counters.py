"""Requests a second through the launcher while it counts them, against the same process while it does not.

    python -m benchmarks.launcher_counters [--project FOLDER] [--rounds 40] [--seconds 1]

One launcher, whose counters a signal turns on and off, is asked in turns with and without them; a round begins with
each side in turns. Two processes of the same program differ by more than what is looked for. The processor time of the
launcher for a request is shown as well: it depends less on what else the machine does. Then how long the status takes,
while the app starts and serves.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import requests

from benchmarks.bundles import SECRET, answering, arguments, bundle, node, proxied
from benchmarks.proxying import rate
from metamcp_deploy.verify import throwaway
from metamcp_deploy.verify.container import OPERATOR, Container

LEAST = 0.98
STATUS = "/.metamcp-deploy/status"
_MADE = re.compile(r"this\.proxy = new \w+\(.*\);")
_TOGGLE = 'process.on("SIGUSR2", () => (this.proxy.counters = this.proxy.counters ? null : this.#counters));'
_TICK = os.sysconf("SC_CLK_TCK")


def copied(app: Path, copy: Path) -> Path:
    """A copy of a release whose counters SIGUSR2 turns off and on again."""
    shutil.copytree(app, copy)
    start = copy / "start.mjs"
    text, count = _MADE.subn(lambda made: f"{made[0]}\n{_TOGGLE}", start.read_text())
    assert count == 1, "the launcher's source has changed: correct _MADE"
    start.write_text(text)
    return copy


def processor_seconds(pid: int) -> float:
    """Of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def measured(container: Container, seconds: float) -> tuple[float, float, float]:
    """Requests a second, their number, and the launcher's processor time for them in seconds."""
    used, began = processor_seconds(container.pid), time.monotonic()
    found = asyncio.run(rate(container.url, seconds, proxied(container)))
    return found, found * (time.monotonic() - began), processor_seconds(container.pid) - used


def status_times(container: Container, count: int) -> None:
    """Prints how long so many answers in a row take, on one connection."""
    times, last = [], ""
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


def pairs(container: Container, rounds: int, seconds: float) -> list[tuple[tuple[float, float, float], ...]]:
    """For each round what was measured with counters and without."""
    found, counting = [], True
    for number in range(rounds):
        both = {}
        for wanted in (True, False) if number % 2 == 0 else (False, True):
            if counting != wanted:
                os.kill(container.pid, signal.SIGUSR2)
                time.sleep(0.05)
                counting = wanted
            both[wanted] = measured(container, seconds)
        found.append((both[True], both[False]))
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="metamcp-benchmark-") as named, throwaway.database() as variables:
        scratch = Path(named)
        app = copied(bundle(given.project, scratch) / "app", scratch / "app")
        secret = {"BETTER_AUTH_SECRET": SECRET, **variables}
        with Container(app, scratch / "container", node(), secret) as container:
            status_times(container, 20)
            answering(container.url, headers=proxied(container))
            status_times(container, 200)
            asyncio.run(rate(container.url, 5, proxied(container)))
            found = pairs(container, given.rounds, given.seconds)
            container.stop(10)
    on, off = (statistics.median(one[n][0] for one in found) for n in (0, 1))
    costs = [sum(one[n][2] for one in found) / sum(one[n][1] for one in found) * 1e6 for n in (0, 1)]
    part = statistics.median(one[0][0] / one[1][0] for one in found)
    print(f"with counters {on:.0f}/s, without {off:.0f}/s")
    print(f"{costs[0]:.1f} and {costs[1]:.1f} µs of the launcher's processor time for a request")
    print(f"{part:.3f} of the requests (at least {LEAST:g})")
    sys.exit(0 if part >= LEAST else 1)


if __name__ == "__main__":
    main()
