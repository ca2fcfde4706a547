"""Failures on purpose: what goes wrong, at which calls to the embedded workspace, and whose.

A test uses them so:

    from metamcp_deploy import local
    from metamcp_deploy.local import faults

    running = local.up(project)
    with faults.injected(running, faults.Fault("lost", "POST /api/2.0/apps", calls="1", by="operator")) as seen:
        ...                      # the app is made, the answer is lost
        assert seen() == 1       # how often it struck

A single request can ask for one by itself: header `X-Metamcp-Fault: 429 2` (what, and seconds). Faults live in the
running workspace: `local down` forgets them, so that none surprises anybody tomorrow.
"""

from __future__ import annotations

import contextlib
import fnmatch
import http.client
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.local.lifecycle import Running

HEADER = "X-Metamcp-Fault"
ROUTE = "/local/faults"
LOGIN = "LOGIN"
EVENTS = ("reset", "stall", "truncated", "lost")
_CALLS = re.compile(r"([1-9]\d*)(-([1-9]\d*)?)?")
_SQLSTATE = re.compile(r"(?=.*\d)[0-9A-Z]{5}")
_ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Fault:
    """One failure.

    Attributes:
        what: an HTTP status (`503`: nothing is done, the API's error comes back); `reset` (nothing is done, the
            connection closes without an answer); `stall` (it is done, the answer is held); `truncated` (it is done, the
            answer's body is cut in the middle, its length fits); `lost` (it is done, the connection closes without an
            answer). For Postgres logins: a SQLSTATE (`57P03`), `reset` or `stall`.
        route: method and path, `*` for anything (`POST /api/2.0/apps/*/deployments`, `* *`); `LOGIN <database>` for
            logins to Postgres.
        calls: which of the matching calls: `2`, `2-4`, or `2-` for all from the second on. The first is 1.
        by: only calls of the workspace's user (`operator`), or only those of apps (`app`).
        seconds: how long a stall holds (without: until the caller leaves); what Retry-After says with a status.
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
        login = method == LOGIN
        known = ("reset", "stall") if login else EVENTS
        coded = _SQLSTATE if login else re.compile(r"[45]\d\d")
        if not path or " " in path or method != method.upper():
            raise _wrong("route", self.route, "METHOD PATH, as in 'POST /api/2.0/apps/*', or 'LOGIN *'")
        if self.what not in known and not coded.fullmatch(self.what):
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
        here = wanted == method or (wanted == "*" and method != LOGIN)
        return here and fnmatch.fnmatchcase(path, pattern) and self.by in (None, by)


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


def add(running: Running, fault: Fault, name: str | None = None) -> str:
    """Makes a fault strike from now on; its name, by which it is cleared.

    Raises:
        DeployError: LOCAL_DOWN.
    """
    return str(_call(running, "POST", {"name": name, **asdict(fault)})["name"])


def active(running: Running) -> list[dict[str, Any]]:
    """Every fault: its fields, `name`, `met` (matching calls so far) and `struck` (how often it struck).

    Raises:
        DeployError: LOCAL_DOWN.
    """
    found: list[dict[str, Any]] = _call(running, "GET")["faults"]
    return found


def clear(running: Running, name: str | None = None) -> int:
    """Ends one fault, or all; how many. Answers that are being held go out.

    Raises:
        DeployError: LOCAL_DOWN; NOT_FOUND for a name that none has.
    """
    cleared = int(_call(running, "DELETE", {"name": name})["cleared"])
    if name and not cleared:
        names = ", ".join(f["name"] for f in active(running)) or "none"
        raise DeployError(
            Code.NOT_FOUND,
            f"There is no fault {name} in the embedded workspace; active: {names}.",
            hint="metamcp-deploy local faults list",
        )
    return cleared


@contextlib.contextmanager
def injected(running: Running, fault: Fault) -> Iterator[Callable[[], int]]:
    """A fault for as long as the block lasts; gives a function that tells how often it struck so far."""
    name = add(running, fault)

    def struck() -> int:
        return int(next((f["struck"] for f in active(running) if f["name"] == name), 0))

    try:
        yield struck
    finally:
        with contextlib.suppress(DeployError):  # the test may have ended the workspace, or cleared it
            clear(running, name)


def _call(running: Running, method: str, body: Mapping[str, Any] | None = None) -> Any:
    connection = http.client.HTTPConnection(running.url.partition("//")[2], timeout=_ANSWER_SECONDS)
    try:
        headers = {"Authorization": f"Bearer {running.token.reveal()}"}
        connection.request(method, ROUTE, body=json.dumps(body) if body else None, headers=headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as e:
        raise DeployError(
            Code.LOCAL_DOWN,
            f"The embedded workspace at {running.url} does not answer: {e}.",
            hint="metamcp-deploy local up",
        ) from e
    finally:
        connection.close()
    if response.status != 200:
        raise DeployError(
            Code.USAGE, f"The embedded workspace refused the fault: {answer.get('message')}", hint=_HINT
        )
    return answer


_HINT = "metamcp-deploy local faults add --help"


def _wrong(part: str, given: str, expected: str) -> DeployError:
    return DeployError(Code.USAGE, f"{part} of a fault is {expected}; not {given!r}.", hint=_HINT)
