"""One fault: which failure, at which calls to the embedded workspace, and whose."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Literal

from metamcp_deploy.errors import Code, DeployError

HEADER = "X-Metamcp-Fault"
ROUTE = "/local/faults"
LOGIN = "LOGIN"
STREAM = "STREAM"
# What apps of some workspaces were seen to do with a change of them: the handlers of `api/apps.py` do it.
UNMASKED, UNSIZED = "unmasked", "unsized"
QUIRKS = (UNMASKED, UNSIZED)
EVENTS = ("reset", "stall", "truncated", "lost", *QUIRKS)
_CALLS = re.compile(r"([1-9]\d*)(-([1-9]\d*)?)?")
_SQLSTATE = re.compile(r"(?=.*\d)[0-9A-Z]{5}")
HINT = "metamcp-deploy local faults add --help"


@dataclass(frozen=True)
class Fault:
    """One failure.

    Attributes:
        what: an HTTP status (`503`: nothing is done, the API's error comes back); `reset` (nothing is done, the
            connection closes without an answer); `stall` (it is done, the answer is held); `truncated` (it is done, the
            answer's body is cut in the middle, its length fits); `lost` (it is done, the connection closes without an
            answer); `unmasked` (a change of an app passes over its mask and clears what it does not name); `unsized`
            (a PATCH of an app that holds compute_size is refused). For Postgres logins: a SQLSTATE (`57P03`),
            `reset` or `stall`. For answers of an app: `reset`.
        route: method and path, `*` for anything (`POST /api/2.0/apps/*/deployments`, `* *`); `LOGIN <database>` for
            logins to Postgres; `STREAM <app>` for what its proxy passes on.
        calls: which of the matching calls: `2`, `2-4`, or `2-` for all from the second on. The first is 1.
        by: only calls of the workspace's user (`operator`), or only those of apps (`app`).
        seconds: how long a stall holds (without: until the caller leaves); what Retry-After says with a status; with a
            SQLSTATE, only credentials that are younger are refused; after so many an app's answer is cut.
        error_code: of the API's error; by default the usual one of the status.
        message: of that error.
    """

    what: str
    route: str = "* *"
    calls: str = "1-"
    by: Literal["operator", "app"] | None = None
    seconds: float | None = None
    error_code: str | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        """Refuses what could never strike.

        Raises:
            DeployError: USAGE, naming the part and what it can be.
        """
        method, _, path = self.route.partition(" ")
        login, stream = method == LOGIN, method == STREAM
        known = ("reset", "stall") if login else ("reset",) if stream else EVENTS
        coded = _SQLSTATE if login else re.compile(r"[45]\d\d")
        if not path or " " in path or method != method.upper():
            raise _wrong("route", self.route, "METHOD PATH, as in 'POST /api/2.0/apps/*', or 'LOGIN *'")
        if self.what not in known and (stream or not coded.fullmatch(self.what)):
            code = "a SQLSTATE as 57P03" if login else "an HTTP status from 400 to 599"
            raise _wrong("what", self.what, f"{', '.join(known)} or {code}")
        if self.by not in (None, "operator", "app"):
            raise _wrong("by", str(self.by), "operator or app")
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise _wrong("seconds", str(self.seconds), "a number from 0")
        if not _CALLS.fullmatch(self.calls) or self.last < self.first:
            raise _wrong("calls", self.calls, "2, 2-4 or 2-")

    @property
    def first(self) -> int:
        """The first of the calls that it strikes."""
        return int(self.calls.partition("-")[0])

    @property
    def last(self) -> float:
        """The last one, infinity for no end."""
        _, more, end = self.calls.partition("-")
        return (float(end) if end else float("inf")) if more else self.first

    def matches(self, method: str, path: str, by: str | None) -> bool:
        """Whether a call is one of those that are counted."""
        wanted, _, pattern = self.route.partition(" ")
        # `* *` means requests: a login is of another kind, and nobody expects it there.
        here = wanted == method or (wanted == "*" and method not in (LOGIN, STREAM))
        return here and fnmatch.fnmatchcase(path, pattern) and self.by in (None, by)

    def spares(self, age: float) -> bool:
        """Whether it refuses younger credentials only than one of this age, in seconds."""
        of_age = self.route.startswith(f"{LOGIN} ") and self.what not in EVENTS
        return of_age and self.seconds is not None and age >= self.seconds


def parse(text: str) -> Fault:
    """The fault that a header asks for: `503`, `429 2`, `lost`.

    Raises:
        DeployError: USAGE.
    """
    what, _, seconds = text.strip().partition(" ")
    try:
        return Fault(what, seconds=float(seconds) if seconds else None)
    except ValueError as e:
        raise _wrong("seconds", seconds, "a number from 0") from e


def _wrong(part: str, given: str, expected: str) -> DeployError:
    return DeployError(Code.USAGE, f"{part} of a fault is {expected}; not {given!r}.", hint=HINT)
