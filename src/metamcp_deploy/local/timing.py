"""Durations and rate limits: moments by default, the platform's own with `local up --realistic`.

One table, each row with its source. Where nobody measured, the row says so: such a number is only a number that is long
enough to notice.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Lapse:
    """How long something takes, in seconds.

    Attributes:
        quick: by default: just long enough that a client meets the state in between.
        real: with `--realistic`, times the scale.
        source: of the real one.
        sure: whether that was seen on the platform.
    """

    quick: float
    real: float
    source: str
    sure: bool = False


_GUESS = "nobody measured it; long enough that a client must wait"
_FACTS = "Databricks documentation"

LAPSES = {
    "app.start": Lapse(0.3, 60.0, _GUESS),
    "app.stop": Lapse(0.3, 10.0, _GUESS),
    "app.delete": Lapse(
        1.0, 60.0, "Databricks' command line, apps.go: DELETING lasts up to 20 minutes; the usual is a guess"
    ),
    "app.update": Lapse(0.0, 5.0, _GUESS),
    "app.deploy.prepare": Lapse(0.0, 8.0, _GUESS),
    "app.deploy.start": Lapse(0.0, 4.0, _GUESS),
    "lakebase.projects": Lapse(0.0, 20.0, _GUESS),
    "lakebase.branches": Lapse(0.0, 3.0, f"{_FACTS}: branches are made in seconds", sure=True),
    "lakebase.databases": Lapse(0.0, 3.0, _GUESS),
    "lakebase.endpoints": Lapse(0.0, 8.0, _GUESS),
    "lakebase.roles": Lapse(0.0, 2.0, _GUESS),
    "lakebase.update": Lapse(0.0, 5.0, _GUESS),
    "lakebase.reconcile": Lapse(0.0, 8.0, "Databricks' command line waits for up to two minutes; a guess"),
    "lakebase.delete": Lapse(0.0, 5.0, _GUESS),
    "instance.start": Lapse(0.5, 180.0, f"{_FACTS}: minutes until AVAILABLE"),
    "instance.update": Lapse(0.5, 60.0, _GUESS),
    "instance.delete": Lapse(0.0, 20.0, _GUESS),
    "token": Lapse(3600.0, 3600.0, f"{_FACTS}: OAuth tokens live one hour", sure=True),
}

# Requests a second of each principal; route as method and beginning of the path.
RATES = {
    "POST /api/2.0/workspace-files/import-file/": (
        20,
        "measured by others; the command line keeps 20 uploads in flight",
    ),
    "POST /api/2.0/workspace/import": (30, _FACTS),
}
RETRY_AFTER_SECONDS = 1


class Timing:
    """The workspace's clockwork.

    Args:
        scale: what the real times are multiplied by; 0 means the quick ones and no limits.
        sleep: waits.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        scale: float = 0.0,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scale = scale
        self._sleep, self._clock = sleep, clock
        self._seen: dict[tuple[str, str], deque[float]] = {}

    def seconds(self, what: str) -> float:
        """How long something takes."""
        lapse = LAPSES[what]
        return lapse.real * self.scale if self.scale else lapse.quick

    async def passes(self, what: str) -> None:
        """Waits that long."""
        if seconds := self.seconds(what):
            await self._sleep(seconds)

    def too_many(self, method: str, path: str, whose: str) -> bool:
        """Counts a request; whether it is one more than a principal may make in a second. Rates are not scaled."""
        if not self.scale:
            return False
        request = f"{method} {path}"
        for route, (most, _) in RATES.items():
            if request.startswith(route) and (route.endswith("/") or request == route):
                return self._over(self._seen.setdefault((route, whose), deque()), most)
        return False

    def _over(self, seen: deque[float], most: int) -> bool:
        now = self._clock()
        while seen and seen[0] <= now - 1:
            seen.popleft()
        if len(seen) >= most:
            return True
        seen.append(now)
        return False


def stamp(seconds: float) -> str:
    """Seconds since the epoch as the platform writes times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
