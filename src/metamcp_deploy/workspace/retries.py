"""Whether a call that failed is made again, and when."""

from __future__ import annotations

import requests

from metamcp_deploy.config.model import Waits
from metamcp_deploy.errors import Code
from metamcp_deploy.workspace import causes
from metamcp_deploy.workspace.clock import Clock

# After one of these nobody knows whether the call was done.
UNSURE = frozenset({Code.WORKSPACE_UNREACHABLE, Code.WORKSPACE_ANSWER})
# A call was refused, perhaps for what goes on at that moment: whoever made it looks.
REFUSED = frozenset({Code.REQUEST_REFUSED, Code.ALREADY_EXISTS, Code.BUSY})
_PASSING = frozenset({500, 502, 503, 504})
_ODD_TRIES = 3  # of an answer that says nothing about time: 500, JSON that was cut
_LONGEST_PAUSE = 4.0
_LONGEST_ASKED = 60.0


class Retries:
    """The tries of one call, which end within `waits.answer`, or `waits.throttled` where the workspace asks for it.

    Args:
        clock: of the pauses.
        waits: the user's.
        repeatable: the call may be made twice.
    """

    def __init__(self, clock: Clock, waits: Waits, repeatable: bool) -> None:
        self._clock, self._waits, self._repeatable = clock, waits, repeatable
        self._began = self._at = clock.now()
        self._count = 0
        self._obeyed = 0.0  # seconds that the workspace asked for: no failure

    @property
    def read_seconds(self) -> float:
        """How long a host that took the request may be silent: so that a call that may be repeated has a second try."""
        return self._waits.answer / 2 if self._repeatable else self._waits.answer

    @property
    def elapsed(self) -> float:
        """Seconds since the first try began."""
        return self._clock.now() - self._began

    def begin(self) -> None:
        """A try begins."""
        self._count += 1
        self._at = self._clock.now()

    def after_error(self, error: requests.exceptions.RequestException) -> float | None:
        """Seconds to wait before the next try; None to give up."""
        if causes.hopeless(error) or not (self._repeatable or causes.never_arrived(error)):
            return None
        return self._soon()

    def after_answer(self, response: requests.Response, broken: bool) -> float | None:
        """Seconds to wait before the next try; None to take the answer.

        Args:
            response: the answer.
            broken: it says that it is JSON, and cannot be read.
        """
        asked = _asked(response)
        if response.status_code == 429 or (response.status_code == 503 and asked is not None):
            # It says that nothing was done.
            pause = min(8.0, 0.5 * 2**self._count) if asked is None else asked
            self._obeyed += pause
            return pause if self.elapsed + pause <= self._waits.throttled else None
        odd = response.status_code == 500 or broken
        if not self._repeatable or not (odd or response.status_code in _PASSING):
            return None
        return None if odd and self._count >= _ODD_TRIES else self._soon()

    def _soon(self) -> float | None:
        # A try that took long has waited already.
        spent = self._clock.now() - self._at
        pause = max(0.0, min(_LONGEST_PAUSE, 0.5 * 2 ** (self._count - 1)) - spent)
        # A little more than half, so that there is a second try after one that was silent.
        return pause if self.elapsed - self._obeyed + pause <= 0.6 * self._waits.answer else None


def _asked(response: requests.Response) -> float | None:
    """What Retry-After says, in seconds; None without it (or with a date, which no workspace sends)."""
    try:
        asked = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return min(max(asked, 0.05), _LONGEST_ASKED)
