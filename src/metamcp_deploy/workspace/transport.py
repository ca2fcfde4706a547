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
from metamcp_deploy.config.model import Waits
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import causes, refusals
from metamcp_deploy.workspace.clock import Clock
from metamcp_deploy.workspace.tries import Tries

CONNECT_SECONDS = 6.0  # a host that is not there is told from it well below 30 s
# Sending counts as connecting (urllib3 gives sendall that time for the whole body): so much more for each byte, so that
# a release goes through a line of 1 Mbit/s, all of its files at once.
_SLOWEST_BYTES_PER_SECOND = 50_000

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
        waits: the user's: how long a call is tried.
        renew: makes `headers` give other ones, when those are refused.
    """

    def __init__(
        self,
        host: str,
        session: Callable[[], requests.Session],
        headers: Callable[[], Mapping[str, str]],
        clock: Clock | None = None,
        waits: Waits | None = None,
        renew: Callable[[], None] | None = None,
    ) -> None:
        self.host = host
        self.waits = waits or Waits()
        self.clock = clock or Clock()
        self._make_session = session
        self._headers = headers
        self._renew = renew
        self._renewing = threading.Lock()
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
        response = self._tried(method, path, request, repeatable, len(content or b""))
        if not response.ok or response.is_redirect:
            raise refusals.refusal(self.host, method, path, response)
        if raw:
            return response.content
        return self._json(method, path, response)

    def _tried(
        self, method: str, path: str, request: Mapping[str, Any], repeatable: bool, size: int
    ) -> requests.Response:
        tries, renewed = Tries(self.clock, self.waits, repeatable), False
        connect = CONNECT_SECONDS + size / _SLOWEST_BYTES_PER_SECOND
        while True:
            tries.begin()
            try:
                response = self._sent(method, path, request, (connect, tries.read_seconds))
            except requests.exceptions.RequestException as e:
                pause = tries.after_error(e)
                if pause is None:
                    raise causes.unreachable(self.host, f"{method} {path}", e, tries.elapsed) from e
                told = f"{self.host} does not answer; trying again ({causes.reason(e)})"
            else:
                if response.status_code == 401 and self._renew and not renewed:
                    renewed = True
                    self._renewed(response, self._renew)
                    continue
                pause = tries.after_answer(response, _broken(response))
                if pause is None:
                    return response
                told = f"{self.host} answers {response.status_code}; trying again in {pause:g} s"
                if response.status_code == 429:
                    told = f"{self.host} asks to wait {pause:g} s (HTTP 429)"
            events.emit(events.Progress(told))
            self.clock.pause(pause)

    def _renewed(self, refused: requests.Response, renew: Callable[[], None]) -> None:
        """Logs in anew, once for all threads whose requests went out with the same token."""
        with self._renewing:
            if self._headers().get("Authorization") == refused.request.headers.get("Authorization"):
                events.emit(events.Progress(f"{self.host} refuses the login's token; logging in anew"))
                renew()

    def _sent(
        self, method: str, path: str, request: Mapping[str, Any], within: tuple[float, float]
    ) -> requests.Response:
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
            timeout=within,
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
        document = _document(response)
        if isinstance(document, dict):  # as every answer of every call here
            return document
        raise refusals.no_object(self.host, method, path, response)


def _anything(writes: bool) -> None:
    """The guard of a workspace that nobody holds a lock of."""


def _document(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _broken(response: requests.Response) -> bool:
    """Whether an answer that calls itself JSON was cut on its way."""
    said = response.headers.get("Content-Type", "").startswith("application/json")
    return bool(said and response.ok and response.content) and _document(response) is None
