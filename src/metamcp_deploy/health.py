"""Is a deployed app well? Three authenticated requests, and what their answers mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import requests

from metamcp_deploy import events, knowledge, resources
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.knowledge.place import DEFAULT, Place
from metamcp_deploy.workspace.causes import reason
from metamcp_deploy.workspace.clock import Clock

if TYPE_CHECKING:
    from metamcp_deploy.knowledge.entry import Entry

ALIVE_PATH = "/metamcp/health"  # answers without touching the database
READY_PATH = "/metamcp"  # lists the endpoints, so that it fails with the database
# `build` adds it to what Next serves without rendering a page. In older releases a 404 shows as much.
STATIC_PATH = "/_next/static/health.js"
_SECONDS = (5.0, 20.0)  # to connect, to answer
_STATIC_SECONDS = (5.0, 10.0)
_PAUSES = (0.25, 3.0)
_GIVEN_UP = 60  # the launcher's Retry-After, seconds, where only a person can help (docs/launcher.md)
_SQLSTATE = re.compile(r"\bcode: '([0-9A-Z]{5})'")  # as Node prints the driver's error
_SHOWN = 300  # characters of a line of the log
_CONFIRMED = 2.0  # seconds; the process that a deployment replaces may answer for a moment


class Status(StrEnum):
    """How the app is. `healthy` is the only good one."""

    HEALTHY = "healthy"
    NOT_AUTHENTICATED = "not_authenticated"
    WRONG_PATH = "wrong_path"
    NOT_LISTENING = "not_listening"
    UNREACHABLE = "unreachable"
    STARTING = "starting"
    FAILED = "failed"
    CRASHED = "crashed"
    DATABASE_DOWN = "database_down"
    FRONT_END_SILENT = "front_end_silent"
    STOPPED = "stopped"
    UNEXPECTED = "unexpected"


# Who does not answer, where the request before was answered; READY_PATH waits for a query.
_SILENT = {STATIC_PATH: Status.FRONT_END_SILENT, READY_PATH: Status.DATABASE_DOWN}
_WAITED_FOR = frozenset(
    {
        *(Status.NOT_LISTENING, Status.STARTING, Status.DATABASE_DOWN, Status.FRONT_END_SILENT),
        *(Status.UNREACHABLE, Status.UNEXPECTED),
    }
)


@dataclass(frozen=True)
class Check:
    """One request: `http` is the answer's status, None without one; `code` is the launcher's."""

    name: str
    path: str
    status: Status
    http: int | None
    seconds: float
    detail: str = ""
    code: str = ""

    def __str__(self) -> str:
        said = f"{self.http} {self.detail}".rstrip() if self.http else self.detail or "no answer"
        return f"GET {self.path}: {said}" if self.path else said

    @property
    def ok(self) -> bool:
        """Whether it was as it should be."""
        return self.status is Status.HEALTHY


@dataclass(frozen=True)
class Report:
    """How the app at `url` is: the first check that is not well decides; `log` are lines that may name the cause."""

    url: str
    status: Status
    checks: tuple[Check, ...]
    log: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """`url`, `status` and `checks` of `-o json`."""
        return {
            "url": self.url,
            "status": self.status.value,
            "checks": [{**asdict(c), "status": c.status.value, "ok": c.ok} for c in self.checks],
        }

    def failure(self, place: Place = DEFAULT) -> DeployError | None:
        """The error for a report that is not healthy; `place` is for the commands of its hint."""
        if self.status is Status.HEALTHY:
            return None
        known = knowledge.by_id("health", self.status.value.replace("_", "-"))
        said, hint = str(known.message), known.hint(place=place)
        if cause := self._cause():
            said = f"{said}. {cause.title}"
            hint = " ".join(filter(None, (cause.by_itself, cause.hint(place=place))))
        shown = "\n".join(map(str, self.checks))
        return DeployError(
            Code.UNHEALTHY,
            f"{self.url} is {self.status.value}: {said}.",
            hint=hint,
            detail="\n".join(filter(None, (shown, *map(_clipped, self.log)))) or None,
        )

    def _cause(self) -> Entry | None:
        """The known failure behind it, by the launcher's code, the app's log, or a query without an end."""
        if self.status is Status.DATABASE_DOWN and self.checks[-1].http is None:
            return knowledge.recognise("database", state="locks_waiting")
        code = self.checks[-1].code if self.checks else ""
        if not (code or self.log):
            return None
        log = "\n".join((code, *self.log))
        states = _SQLSTATE.findall(log)
        return knowledge.recognise("launcher", code=code or None, log=log) or knowledge.recognise(
            "database", sqlstate=states[-1] if states else None, output=log
        )


def _clipped(line: str) -> str:
    """A line of the log at a length that a screen takes."""
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def check(
    base_url: str,
    headers: Callable[[], Mapping[str, str]],
    session: requests.Session,
    *,
    wait: float = 0,
    clock: Clock | None = None,
    seconds: float | None = None,
) -> Report:
    """Asks the app how it is, and goes on asking for up to `wait` seconds until it is healthy.

    Args:
        base_url: origin of the app.
        headers: gives fresh headers that open the app.
        session: makes the requests; redirects are not followed, because they lead to a login page that answers 200.
        wait: seconds; a refused login, a wrong path and a start that failed for good are not waited for.
        clock: of the wait.
        seconds: that each answer may take; the usual ones when None.

    Returns:
        What was found last; look at its `status`.
    """
    clock = clock or Clock()
    base_url = base_url.rstrip("/")
    ends, pause, given_up = clock.now() + wait, _PAUSES[0], False
    while True:
        report = _look(base_url, headers(), session, clock, seconds)
        if report.status is Status.FAILED and not given_up and clock.now() + _CONFIRMED <= ends:
            given_up = True
            clock.sleep(_CONFIRMED)
            continue
        if report.status not in _WAITED_FOR or clock.now() + pause > ends:
            return report
        given_up = False
        last = report.checks[-1]
        # The cause and its fix stand in the report, once; here they would flicker from attempt to attempt.
        outline = last.detail.partition(": ")[0] if last.code else last.detail
        events.emit(events.Progress(f"waits for a healthy answer ({outline or report.status.value})"))
        clock.sleep(pause)
        pause = min(pause * 1.5, _PAUSES[1])


def stopped(base_url: str, compute: str) -> Report:
    """The report for an app whose compute is not there; no request would show more."""
    return Report(base_url, Status.STOPPED, (Check("compute", "", Status.STOPPED, None, 0.0, compute),))


def crashed(base_url: str, message: str) -> Report:
    """The report for an app whose process ended by itself, and which the platform leaves as it is."""
    check = Check("app", "", Status.CRASHED, None, 0.0, message)
    return Report(base_url, Status.CRASHED, (check,))


def _look(
    base_url: str,
    headers: Mapping[str, str],
    session: requests.Session,
    clock: Clock,
    seconds: float | None,
) -> Report:
    def ask(name: str, path: str) -> Check:
        return _ask(name, base_url, path, headers, session, clock, seconds)

    alive = ask("alive", ALIVE_PATH)
    if not alive.ok:
        return Report(base_url, alive.status, (alive,))
    ready = ask("ready", READY_PATH)
    if not ready.ok:
        return Report(base_url, ready.status, (alive, ready))
    front = ask("front end", STATIC_PATH)
    return Report(base_url, front.status, (alive, ready, front))


def _ask(
    name: str,
    base_url: str,
    path: str,
    headers: Mapping[str, str],
    session: requests.Session,
    clock: Clock,
    seconds: float | None,
) -> Check:
    began = clock.now()

    def signed(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`: requests would replace the Authorization header by what a ~/.netrc holds for the host.
        prepared.headers.update(headers)
        return prepared

    try:
        usual = _STATIC_SECONDS if path == STATIC_PATH else _SECONDS
        within = usual if seconds is None else (seconds, seconds)
        response = session.get(base_url + path, auth=signed, allow_redirects=False, timeout=within)
    except requests.exceptions.ReadTimeout as e:
        status = _SILENT.get(path, Status.UNREACHABLE)
        return Check(name, path, status, None, _since(began, clock), reason(e))
    except requests.exceptions.RequestException as e:
        refused = "refused" in repr(e).lower()
        status = Status.NOT_LISTENING if refused else Status.UNREACHABLE
        return Check(name, path, status, None, _since(began, clock), reason(e))
    status, detail = _meaning(name, response)
    code = _failed(_launcher(response)).get("code", "") if status in (Status.STARTING, Status.FAILED) else ""
    return Check(name, path, status, response.status_code, _since(began, clock), detail, str(code))


def _meaning(name: str, response: requests.Response) -> tuple[Status, str]:
    code = response.status_code
    if code in (502, 503, 504):
        document = _launcher(response)
        if not document:
            return Status.NOT_LISTENING, ""
        after = response.headers.get("Retry-After", "")
        given_up = document.get("status") == "failed" and after.isdecimal() and int(after) >= _GIVEN_UP
        return (Status.FAILED if given_up else Status.STARTING), _said(document)
    if code == 500 and name == "ready":
        return Status.DATABASE_DOWN, response.text[:200].strip()
    if code in (301, 302, 303, 307, 308):
        return Status.NOT_AUTHENTICATED, f"redirect to {response.headers.get('Location', '?').split('?')[0]}"
    if name == "front end" and code in (200, 404):
        return Status.HEALTHY, ""
    if code == 200 and not _is_json(response):
        return Status.WRONG_PATH, f"answered with {response.headers.get('Content-Type', 'no type')}, not JSON"
    known = {
        200: Status.HEALTHY,
        401: Status.NOT_AUTHENTICATED,
        403: Status.NOT_AUTHENTICATED,
        404: Status.WRONG_PATH,
    }
    return known.get(code, Status.UNEXPECTED), ""


def _launcher(response: requests.Response) -> dict[str, Any]:
    """The launcher's own answer (`{status, step, code, message, request_id}`); empty when it is not one."""
    try:
        document = resources.parsed_json(response.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and document.get("step") else {}


def _failed(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Step and code of the failure that the launcher's answer is about: while it tries again, those of the last try."""
    last = document.get("last_failure")
    return last if document.get("status") == "starting" and isinstance(last, dict) else document


def _said(document: Mapping[str, Any]) -> str:
    state, code = document.get("status", "failed"), document.get("code", "")
    cause = "" if code == state else f" ({code})"
    more = [
        document.get("message"),
        document.get("cause"),
        document.get("fix"),
    ]  # the last two for operators only
    said = (
        f"{state} at step {document['step']}{cause}: {' '.join(str(text) for text in more if text)}".rstrip()
    )
    if (last := _failed(document)) is not document:
        said += f" The try before failed at step {last.get('step')} ({last.get('code')})."
    return said


def _is_json(response: requests.Response) -> bool:
    try:
        resources.parsed_json(response.content)
    except ValueError:
        return False
    return True


def _since(began: float, clock: Clock) -> float:
    return round(clock.now() - began, 3)
