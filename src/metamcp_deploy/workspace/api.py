"""One REST call to a workspace: authenticated, retried where that is safe, each failure in words.

The requests are made here and not by the SDK's client, which loses what this tool needs to tell people (the HTTP
status, where a redirect leads), follows redirects to login pages, retries a misspelt host for five minutes and an
upload never.
"""

from __future__ import annotations

import copy
import email.utils
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import requests

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import causes, refusals
from metamcp_deploy.workspace.clock import Clock

CONNECT_SECONDS = 6.0
READ_SECONDS = 60.0
PATIENCE_SECONDS = 12.0  # how long a host that does not answer is tried; with CONNECT_SECONDS well below 30 s
THROTTLED_SECONDS = 120.0  # how long 429 and 503 are obeyed

# Called before each request with whether it writes; raises to refuse it.
Guard = Callable[[bool], None]

_log = logging.getLogger("metamcp_deploy.workspace")


class Api:
    """A workspace's REST interface.

    Args:
        host: origin, `https://…` without a slash at its end.
        session: makes an HTTP session; called once in each thread that makes requests.
        headers: gives fresh authentication headers.
        clock: of the pauses between tries.
        read_seconds: how long a host that took a request may be silent.
    """

    def __init__(
        self,
        host: str,
        session: Callable[[], requests.Session],
        headers: Callable[[], Mapping[str, str]],
        clock: Clock | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.host = host
        self._timeout = (CONNECT_SECONDS, read_seconds)
        self.clock = clock or Clock()
        self._make_session = session
        self._headers = headers
        self._threads = threading.local()
        self.guard: Guard = _anything
        self._told: tuple[float, float] | None = None  # the workspace's time, and ours when it told it

    def unguarded(self) -> Api:
        """The same, but `guard` does not count."""
        other = copy.copy(self)
        other.guard = _anything
        return other

    def time(self) -> float | None:
        """Seconds since the epoch on the workspace's clock, by the last answer's Date; None while none had one."""
        if self._told is None:
            return None
        told, at = self._told
        return told + self.clock.now() - at

    def find(self, path: str) -> dict[str, Any] | None:
        """What the workspace says of a thing; None when there is none (404)."""
        try:
            found: dict[str, Any] = self.call("GET", path)
        except DeployError as e:
            if e.code is Code.NOT_FOUND:
                return None
            raise
        return found

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        raw: bool = False,
        repeatable: bool = True,
    ) -> Any:
        """Makes one call and gives its JSON ({} for an empty answer), or its bytes with `raw`.

        Args:
            method: of HTTP.
            path: below the host, quoted.
            query: parameters of the URL.
            body: JSON to send.
            form: fields of a multipart request, with `content` as its file.
            content: bytes of a file.
            raw: the answer is a file.
            repeatable: False when doing it twice would do harm: then a lost answer is not tried again.

        Raises:
            ApiError: AUTH_FAILED, PERMISSION_DENIED, ADDRESS_REFUSED, FEATURE_MISSING, NOT_FOUND, ALREADY_EXISTS,
                RATE_LIMITED, REQUEST_REFUSED, WORKSPACE_ANSWER.
            DeployError: WORKSPACE_UNREACHABLE, AUTH_FAILED.
        """
        request: dict[str, Any] = {"params": query, "json": body}
        if form is not None:
            request = {"data": dict(form), "files": {"content": ("content", content or b"")}}
        response = self._tried(method, path, request, repeatable)
        if not response.ok or response.is_redirect:
            raise refusals.refusal(self.host, method, path, response)
        if raw:
            return response.content
        return self._json(method, path, response)

    def _tried(
        self, method: str, path: str, request: Mapping[str, Any], repeatable: bool
    ) -> requests.Response:
        started, attempt = self.clock.now(), 0
        while True:
            attempt += 1
            try:
                response = self._sent(method, path, request)
            except requests.exceptions.RequestException as e:
                pause = min(4.0, 2.0 ** (attempt - 1))
                elapsed = self.clock.now() - started
                lost = not isinstance(e, requests.exceptions.ConnectTimeout) and not causes.never_arrived(e)
                if elapsed + pause > PATIENCE_SECONDS or causes.hopeless(e) or (lost and not repeatable):
                    raise causes.unreachable(self.host, f"{method} {path}", e, elapsed) from e
                events.emit(
                    events.Progress(f"{self.host} does not answer; trying again ({causes.reason(e)})")
                )
            else:
                asked = _throttled(response, attempt)
                if asked is None or self.clock.now() - started + asked > THROTTLED_SECONDS:
                    return response
                pause = asked
                events.emit(
                    events.Progress(f"{self.host} asks to wait {pause:g} s (HTTP {response.status_code})")
                )
            self.clock.pause(pause)

    def _sent(self, method: str, path: str, request: Mapping[str, Any]) -> requests.Response:
        if not hasattr(self._threads, "session"):
            self._threads.session = self._make_session()
        session: requests.Session = self._threads.session
        fresh = self._headers()

        def signed(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            # As `auth`, because requests would otherwise replace the header by what a ~/.netrc holds for the host.
            prepared.headers.update(fresh)
            return prepared

        self.guard(method != "GET")
        began = self.clock.now()
        response = session.request(
            method,
            self.host + path,
            auth=signed,
            allow_redirects=False,
            timeout=self._timeout,
            **request,
        )
        took = 1000 * (self.clock.now() - began)
        if date := email.utils.parsedate_tz(response.headers.get("Date", "")):
            self._told = (float(email.utils.mktime_tz(date)), self.clock.now())
        _log.debug("%s %s%s -> %d, %.0f ms", method, self.host, path, response.status_code, took)
        return response

    def _json(self, method: str, path: str, response: requests.Response) -> Any:
        if not response.content:
            return {}
        try:
            document = response.json()
        except ValueError:
            document = None
        if isinstance(document, dict):  # as every answer of every call here
            return document
        raise refusals.no_object(self.host, method, path, response)


def _anything(writes: bool) -> None:
    """The guard of a workspace that nobody holds a lock of."""


def _throttled(response: requests.Response, attempt: int) -> float | None:
    """Seconds to wait before the same request again, when the answer asks for that."""
    if response.status_code not in (429, 503):
        return None
    try:
        asked = float(response.headers.get("Retry-After", ""))
    except ValueError:
        asked = min(8.0, 0.5 * 2**attempt)
    return min(max(asked, 0.05), 60.0)
