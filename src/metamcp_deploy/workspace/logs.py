"""An app's log, over the WebSocket `/logz/stream` of its own URL.

The protocol, as the official command line speaks it: after the upgrade the client sends one text frame, the search
term; then the server replays its history and goes on. A frame is a keepalive byte, a JSON line, or raw text. The end
of the history is not marked, so a pause marks it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from metamcp_deploy import events, resources
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.events import LogLine
from metamcp_deploy.workspace.apps import NO_PROCESS

if TYPE_CHECKING:
    from metamcp_deploy.workspace.client import Workspace

FIRST_SECONDS = 3.0  # how long the first line of a history may take
QUIET_SECONDS = 0.7  # a pause this long ends the history
REPLAY_SECONDS = 15.0  # and this ends it when the app never pauses
_TICK_SECONDS = 0.2
_DELAYS = (0.2, 5.0)  # between reconnects: doubling from the first to the second
_GIVE_UP_SECONDS = 120.0
_CREDENTIAL_CLOSES = frozenset({4401, 4403})
_CREDENTIAL_STATUSES = frozenset({301, 302, 303, 307, 308, 401, 403})
_REMEMBERED = 5000


class _CredentialError(Exception):
    """The stream refused the credential."""


class _LostError(Exception):
    """The stream ended or could not be opened; another try may do."""


class Logs:
    """Reads one app's log.

    Args:
        workspace: where the app is.
        app: its name.
        search: passed to the server, which sends only lines that hold it.
        source: `APP` or `SYSTEM`: only lines of this source.
        stop: ends the reading from another thread.
    """

    def __init__(
        self,
        workspace: Workspace,
        app: str,
        *,
        search: str = "",
        source: str | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._workspace = workspace
        self._app = app
        self._search = search
        self._source = source
        self._stop = stop or threading.Event()
        self._clock = workspace.clock
        self._shown: deque[tuple[float | None, str, str]] = deque(maxlen=_REMEMBERED)
        self._opened = False

    def lines(self, *, follow: bool = False, last: int | None = None) -> Iterator[LogLine]:
        """The log's lines in their order.

        Args:
            follow: go on with what the app says from now, through reconnects, until it stops.
            last: of the history only so many lines; None gives all that the platform still has.

        Raises:
            DeployError: NOT_FOUND, AUTH_FAILED, LOG_STREAM.
        """
        refused, lost_since, delay = 0, None, _DELAYS[0]
        while not self._stop.is_set():
            try:
                for line in self._session(follow, last):
                    refused, lost_since, delay = 0, None, _DELAYS[0]
                    yield line
                if not follow:
                    return
            except _CredentialError as e:
                refused += 1
                if not follow or refused > 2:
                    raise self._credential_refused(str(e)) from e
                self._workspace.renew()
            except _LostError as e:
                lost_since = self._clock.now() if lost_since is None else lost_since
                impatient = not follow or not self._opened
                if impatient or self._clock.now() - lost_since > _GIVE_UP_SECONDS:
                    raise self._failed(str(e)) from e
            if self._stop.is_set() or self._gone():
                return
            self._clock.sleep(delay)
            delay = min(delay * 2, _DELAYS[1])

    def _gone(self) -> bool:
        """Whether the app has stopped, so that no line can come any more."""
        compute = self._workspace.apps.get(self._app).compute
        if compute in NO_PROCESS:
            events.emit(events.Note(f"The app {self._app} is {compute}: its log has ended."))
            return True
        return False

    def _session(self, follow: bool, last: int | None) -> Iterator[LogLine]:
        """One connection, from the handshake to its end."""
        again = bool(self._shown) or self._opened
        replay: deque[LogLine] | None = None if last is None or again else deque(maxlen=last)
        started = self._clock.now()
        known = frozenset(self._shown)
        floor = next((t for t, _, _ in self._shown if t is not None), None)
        catching_up = again
        with self._connection() as connection:
            connection.send(self._search)
            self._opened = True
            for line in self._frames(connection):
                if line is None or self._clock.now() - started > REPLAY_SECONDS:
                    catching_up = False  # the history is over
                    yield from self._remembered(replay or ())
                    replay = None
                    if not follow:
                        return
                if line is None or (catching_up and _is_old(line, known, floor)):
                    continue
                if replay is None:
                    yield from self._remembered((line,))
                else:
                    replay.append(line)
        yield from self._remembered(replay or ())

    def _remembered(self, lines: Any) -> Iterator[LogLine]:
        for line in lines:
            self._shown.append(_key(line))
            yield line

    def _frames(self, connection: ClientConnection) -> Iterator[LogLine | None]:
        """Lines as they come; None once, when a pause says that the history is over."""
        newest, waiting = self._clock.now(), FIRST_SECONDS
        replaying = True
        while not self._stop.is_set():
            try:
                frame = connection.recv(timeout=_TICK_SECONDS)
            except TimeoutError:
                frame = b"\0"
            except ConnectionClosed as e:
                code = e.rcvd.code if e.rcvd else 1006
                if code in _CREDENTIAL_CLOSES:
                    raise _CredentialError(f"closed with {code}") from e
                if code in (1000, 1001):
                    return
                raise _LostError(f"the connection ended with {code}") from e
            line = parse(frame)
            if line is not None:
                newest, waiting = self._clock.now(), QUIET_SECONDS
                if self._source is None or line.source == self._source:
                    yield line
            if replaying and self._clock.now() - newest > waiting:
                replaying = False
                yield None

    def _connection(self) -> ClientConnection:
        app = self._workspace.apps.get(self._app)
        if app.compute in NO_PROCESS or not app.url:
            raise DeployError(
                Code.LOG_STREAM,
                f"The app {self._app} is {app.compute or 'without compute'}: without compute there is no log, not "
                "even of the past.",
                hint="Start it: metamcp-deploy start; then ask for the log again.",
            )
        headers = self._workspace.app_headers()
        scheme, _, place = app.url.partition("://")
        url = f"{'wss' if scheme == 'https' else 'ws'}://{place}/logz/stream"
        try:
            connection: ClientConnection = connect(
                url,
                additional_headers={"Authorization": headers["Authorization"], "Origin": app.url},
                open_timeout=10,
                close_timeout=1,
                max_size=None,
                **self._workspace.network.websocket_options(url),
            )
            return connection
        except (WebSocketException, OSError, TimeoutError) as e:
            status = _status(e)
            if status in _CREDENTIAL_STATUSES:
                raise _CredentialError(f"the handshake was answered with {status}") from e
            words = f"the handshake was answered with {status}" if status else str(e) or type(e).__name__
            raise _LostError(words) from e

    def _credential_refused(self, how: str) -> DeployError:
        return DeployError(
            Code.AUTH_FAILED,
            f"The log stream of {self._app} did not accept the login ({how}).",
            hint=f"It needs an OAuth login with CAN_USE on the app: databricks auth login --host "
            f"{self._workspace.host}",
        )

    def _failed(self, how: str) -> DeployError:
        return DeployError(
            Code.LOG_STREAM,
            f"The log stream of {self._app} cannot be read: {how}.",
            hint="Run the same command again in a moment; how the app is: metamcp-deploy health",
        )


def parse(frame: str | bytes) -> LogLine | None:
    """A frame as a line; None for a keepalive. What is not the known JSON is shown as it came."""
    text = frame.decode(errors="replace") if isinstance(frame, bytes) else frame
    if text in ("\0", ""):
        return None
    try:
        document = resources.parsed_json(text)
    except ValueError:
        document = None
    if not isinstance(document, dict) or "message" not in document:
        return LogLine("", text.rstrip("\r\n"))
    stamp = document.get("timestamp")
    return LogLine(
        source=str(document.get("source") or ""),
        message=str(document["message"]).rstrip("\r\n"),
        timestamp=float(stamp) if isinstance(stamp, int | float) else None,
    )


def _key(line: LogLine) -> tuple[float | None, str, str]:
    return (line.timestamp, line.source, line.message)


def _is_old(line: LogLine, known: frozenset[tuple[float | None, str, str]], floor: float | None) -> bool:
    """Whether a replayed line was shown before the reconnect, or was left out by `-n`."""
    if _key(line) in known:
        return True
    return line.timestamp is not None and floor is not None and line.timestamp < floor


def _status(error: BaseException) -> int | None:
    """The HTTP status that a handshake failed with, also below the exception that a redirect led to."""
    e: BaseException | None = error
    while e is not None:
        if isinstance(e, InvalidStatus):
            return e.response.status_code
        e = e.__cause__ or e.__context__
    return 302 if isinstance(error, InvalidHandshake) and "redirect" in str(error) else None
