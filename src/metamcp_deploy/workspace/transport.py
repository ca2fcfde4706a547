"""The HTTP below the SDK's services: authenticated, retried where that is safe, each failure in words.

It has the signature of the SDK's own client, `ApiClient`, which is not used: that one loses what people need to know
(the HTTP status, where a redirect leads), follows redirects to login pages, retries a misspelt host for five minutes
and an upload never.
"""

from __future__ import annotations

import copy
import email.utils
import io
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import requests

from metamcp_deploy import events, resources
from metamcp_deploy.config.model import Waits
from metamcp_deploy.workspace import causes, refusals
from metamcp_deploy.workspace.clock import Clock
from metamcp_deploy.workspace.retries import Retries

CONNECT_SECONDS = 6.0  # a host that does not exist is reported well below 30 s
# Sending counts as connecting (urllib3 gives sendall that time for the whole body): so much more for each byte, so that
# a release goes through a line of 1 Mbit/s, all of its files at once.
_SLOWEST_BYTES_PER_SECOND = 50_000
_ROUTING = "X-Databricks-Workspace-Id"  # which of a host's workspaces a request is for

# Called before each request with whether it writes, and whether it needs a look at the lock of its own;
# raises to refuse it.
Guard = Callable[[bool, bool], None]

_log = logging.getLogger("metamcp_deploy.workspace")


@dataclass(frozen=True)
class Unconfigured:
    """What the SDK's services read of their client's configuration, before a login."""

    workspace_id: str | None = None
    is_gcp: bool = False


class Transport:
    """A workspace's REST interface, as the SDK's services call it.

    Args:
        host: origin, `https://…` without a slash at its end.
        session: makes an HTTP session; called once in each thread that makes requests.
        headers: gives fresh authentication headers.
        clock: of the pauses between tries.
        waits: the user's: how long a call is tried.
        renew: makes `headers` give other ones, when those are refused.
        config: gives the login's configuration, the SDK's `Config`.
    """

    def __init__(
        self,
        host: str,
        session: Callable[[], requests.Session],
        headers: Callable[[], Mapping[str, str]],
        clock: Clock | None = None,
        waits: Waits | None = None,
        renew: Callable[[], None] | None = None,
        config: Callable[[], Any] = Unconfigured,
    ) -> None:
        self.host = host
        self.waits = waits or Waits()
        self.clock = clock or Clock()
        self._make_session = session
        self._headers = headers
        self._renew = renew
        self._config = config
        self._renewing = threading.Lock()
        self._threads = threading.local()
        self.guard: Guard = _anything
        self._repeatable = True
        self._sure = False
        self._server_time: tuple[float, float] | None = None  # the workspace's, and our clock's when it came

    @property
    def _cfg(self) -> Any:
        """The SDK's services ask it for the workspace's id."""
        return self._config()

    def unguarded(self) -> Self:
        """The same, but `guard` does not count."""
        other = copy.copy(self)
        other.guard = _anything
        return other

    def once(self) -> Self:
        """The same for calls that do harm when they are made twice: a lost answer is not asked for again."""
        other = copy.copy(self)
        other._repeatable = False
        return other

    def sure(self) -> Self:
        """The same for writes that must not happen after the lock was lost: it is looked at before each of them."""
        other = copy.copy(self)
        other._sure = True
        return other

    def time(self) -> float | None:
        """Seconds since the epoch on the workspace's clock, by the last answer's Date; None while none had one."""
        if self._server_time is None:
            return None
        theirs, at = self._server_time
        return theirs + self.clock.now() - at

    def answer(self, call: Callable[[], object]) -> dict[str, Any]:
        """The last JSON document that a call of an SDK service receives, whatever the SDK's class makes of it.

        For answers whose fields or states may be newer than the SDK: its classes drop what they do not know.
        """
        received: list[dict[str, Any]] = []
        try:
            self._collect(call, received)
        except (KeyError, TypeError, ValueError, AttributeError):
            if not received:
                raise
        return received[-1]

    def answers(self, call: Callable[[], object]) -> list[dict[str, Any]]:
        """As `answer`, all documents of a call that turns pages."""
        received: list[dict[str, Any]] = []
        self._collect(call, received)
        return received

    def _collect(self, call: Callable[[], object], into: list[dict[str, Any]]) -> None:
        self._threads.received = into
        try:
            call()
        finally:
            self._threads.received = None

    def do(
        self,
        method: str,
        path: str | None = None,
        url: str | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        raw: bool = False,
        files: Mapping[str, bytes] | None = None,
        data: Any = None,
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None = None,
        response_headers: list[str] | None = None,
    ) -> Any:
        """Makes one call and gives its JSON ({} for an empty answer), or its bytes as a stream with `raw`.

        Args:
            method: of HTTP.
            path: below the host, quoted.
            url: a whole one in place of the host and `path`.
            query: parameters of the URL.
            headers: more of them.
            body: JSON to send.
            raw: the answer is a file: `{"contents": stream}`.
            files: parts of a multipart request, sent with the fields in `data`.
            data: fields of a form.
            auth: signs the request in place of the login.
            response_headers: names of headers of the answer that are given with its JSON.

        Raises:
            ApiError: AUTH_FAILED, PERMISSION_DENIED, ADDRESS_REFUSED, FEATURE_MISSING, NOT_FOUND, ALREADY_EXISTS,
                RATE_LIMITED, REQUEST_REFUSED, WORKSPACE_ANSWER.
            DeployError: WORKSPACE_UNREACHABLE, AUTH_FAILED.
        """
        where = path or url or ""
        sent = {
            "url": url or self.host + where,
            "params": {k: json.dumps(v) if isinstance(v, bool) else v for k, v in (query or {}).items()},
            "headers": self._routed(headers, files),
            "json": body,
            "files": files,
            "data": data,
            **({"auth": auth} if auth else {}),
        }
        response = self._tried(method, where, sent, sum(map(len, (files or {}).values())))
        if not response.ok or response.is_redirect:
            raise refusals.refusal(self.host, method, where, response)
        wanted = {name: response.headers.get(name) for name in response_headers or ()}
        if raw:
            return {**wanted, "contents": io.BytesIO(response.content)}
        document = self._json(method, where, response)
        if (received := getattr(self._threads, "received", None)) is not None:
            received.append(document)
        return {**wanted, **document}

    def _routed(self, headers: Mapping[str, str] | None, files: Any) -> dict[str, str]:
        """A request's headers, with the workspace's id; those of a form come with its boundary."""
        more = {
            name: value for name, value in (headers or {}).items() if not (files and name == "Content-Type")
        }
        known = self._cfg.workspace_id
        return {**more, _ROUTING: str(known)} if known else more

    def _tried(self, method: str, where: str, request: Mapping[str, Any], size: int) -> requests.Response:
        retries, renewed = Retries(self.clock, self.waits, self._repeatable), False
        connect = CONNECT_SECONDS + size / _SLOWEST_BYTES_PER_SECOND
        while True:
            retries.begin()
            try:
                response = self._sent(method, where, request, (connect, retries.read_seconds))
            except requests.exceptions.RequestException as e:
                pause = retries.after_error(e)
                if pause is None:
                    raise causes.unreachable(self.host, f"{method} {where}", e, retries.elapsed) from e
                text = f"{self.host} does not answer; trying again ({causes.reason(e)})"
            else:
                if self._renew and not renewed and refusals.login_ended(response):
                    renewed = True
                    self._renewed(response, self._renew)
                    continue
                pause = retries.after_answer(response, _broken(response))
                if pause is None:
                    return response
                text = f"{self.host} answers {response.status_code}; trying again in {pause:g} s"
                if response.status_code == 429:
                    text = f"{self.host} asks to wait {pause:g} s (HTTP 429)"
            events.emit(events.Progress(text))
            self.clock.pause(pause)

    def _renewed(self, refused: requests.Response, renew: Callable[[], None]) -> None:
        """Logs in anew, once for all threads whose requests went out with the same token."""
        with self._renewing:
            if self._headers().get("Authorization") == refused.request.headers.get("Authorization"):
                events.emit(events.Progress(f"{self.host} refuses the login's token; logging in anew"))
                renew()

    def _sent(
        self, method: str, where: str, request: Mapping[str, Any], within: tuple[float, float]
    ) -> requests.Response:
        if not hasattr(self._threads, "session"):
            self._threads.session = self._make_session()
        session: requests.Session = self._threads.session
        fresh = self._headers()

        def signed(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            # As `auth`, because requests would otherwise replace the header by what a ~/.netrc holds for the host.
            prepared.headers.update(fresh)
            return prepared

        self.guard(method != "GET", self._sure)
        began = self.clock.now()
        response = session.request(
            method, **{"auth": signed, **request}, allow_redirects=False, timeout=within
        )
        took = 1000 * (self.clock.now() - began)
        if date := email.utils.parsedate_tz(response.headers.get("Date", "")):
            self._server_time = (float(email.utils.mktime_tz(date)), self.clock.now())
        _log.debug("%s %s%s -> %d, %.0f ms", method, self.host, where, response.status_code, took)
        return response

    def _json(self, method: str, where: str, response: requests.Response) -> dict[str, Any]:
        if not response.content:
            return {}
        document = _document(response)
        if isinstance(document, dict):  # as every answer of every call here
            return document
        raise refusals.no_object(self.host, method, where, response)


def _anything(writes: bool, sure: bool) -> None:
    """The guard of a workspace that nobody holds a lock of."""


def _document(response: requests.Response) -> Any:
    try:
        return resources.parsed_json(response.content)
    except ValueError:
        return None


def _broken(response: requests.Response) -> bool:
    """Whether an answer that calls itself JSON was cut on its way."""
    said = response.headers.get("Content-Type", "").startswith("application/json")
    return bool(said and response.ok and response.content) and _document(response) is None
