"""Waiting with a deadline, on a clock that tests can replace. The SDK's own waiters are not used.

Why: they never end on CANCELLED, raise on states that pass, and know unknown states as None.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from metamcp_deploy.errors import Code, DeployError

T = TypeVar("T")

_log = logging.getLogger("metamcp_deploy.workspace")
# What may pass by itself while something long is waited for: a workspace that does not answer for a moment.
_PASSING = frozenset({Code.WORKSPACE_UNREACHABLE, Code.WORKSPACE_ANSWER, Code.RATE_LIMITED})


@dataclass(frozen=True)
class Clock:
    """Seconds that only go forward, and sleeping.

    Attributes:
        now: seconds.
        sleep: for so many.
        patience: seconds for which `poll` tolerates a workspace that fails.
        ended: set when a run gives up, so that what its other threads wait for ends.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    patience: float = 120.0
    ended: threading.Event = field(default_factory=threading.Event)

    def pause(self, seconds: float) -> None:
        """Sleeps between two tries or two looks.

        Raises:
            DeployError: INTERRUPTED, when the run gave up.
        """
        if self.sleep is time.sleep:
            self.ended.wait(seconds)
        else:
            self.sleep(seconds)
        if self.ended.is_set():
            raise DeployError(Code.INTERRUPTED, "Interrupted.", hint="Run the same command again to go on.")


def poll(
    look: Callable[[], T | None],
    *,
    what: str,
    within: float,
    hint: str,
    clock: Clock | None = None,
    longest: float = 3.0,
) -> T:
    """Looks repeatedly until there is a result.

    Args:
        look: gives the result, or None to go on; raises to give up.
        what: what is waited for, for the error ("app x to start").
        within: seconds until DEADLINE.
        hint: of that error.
        clock: of the wait.
        longest: seconds between two looks at most; the first ones follow faster.

    Raises:
        DeployError: DEADLINE; what `look` raises, except that a workspace which does not answer is tolerated for the
            clock's patience.
    """
    clock = clock or Clock()
    _log.debug("waiting for %s", what)
    try:
        return _polled(look, what, within, hint, clock, longest)
    finally:
        _log.debug("no longer waiting for %s", what)


def _polled(
    look: Callable[[], T | None], what: str, within: float, hint: str, clock: Clock, longest: float
) -> T:
    started = clock.now()
    silent_since: float | None = None
    pause = 0.1
    while True:
        try:
            found = look()
            silent_since = None
        except DeployError as e:
            silent_since = silent_since if silent_since is not None else clock.now()
            if e.code not in _PASSING or clock.now() - silent_since > clock.patience:
                raise
            found = None
        if found is not None:
            return found
        if clock.now() - started + pause > within:
            raise DeployError(Code.DEADLINE, f"Waited {within:g} s for {what}.", hint=hint)
        clock.pause(pause)
        pause = min(pause * 1.5, longest)


def gone(find: Callable[[], object], what: str, within: float, clock: Clock, longest: float = 3.0) -> None:
    """Waits until `find` gives None.

    Raises:
        DeployError: DEADLINE; what `find` raises.
    """
    poll(
        lambda: True if find() is None else None,
        what=f"{what} to be gone",
        within=within,
        hint="Run the same command again; or wait longer: --set waits.database=SECONDS",
        clock=clock,
        longest=longest,
    )
