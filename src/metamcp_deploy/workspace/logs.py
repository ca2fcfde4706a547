"""An app's log, over the WebSocket `/logz/stream` of its own URL.

The protocol, as the official command line speaks it: after the upgrade the client sends one text frame, the search
term; then the server replays its history and goes on. A frame is a keepalive byte, a JSON line, or raw text. The end
of the history is not marked, so a pause marks it.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

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
_REMEMBERED = 50_000  # lines: of these a reconnect knows each one, of older ones the time alone
_AT_ONCE = 4000  # frames in one batch
_LONGEST_BATCH = 1024 * 1024  # characters
_LATEST = 253_402_300_800  # the year 10000, in seconds: a time beyond is none
_WAITING = (256, 64)  # frames that are kept while the reader is busy, and when more are asked for


class _CredentialError(Exception):
    """The stream refused the credential."""


class _LostError(Exception):
    """The stream ended or could not be opened; another try may do."""


@dataclass
class _Tries:
    """Since a line came: logins that were refused, since when nothing could be read, the wait before the next try."""

    refused: int = 0
    lost_since: float | None = None
    delay: float = _DELAYS[0]

    def lasts(self, now: float) -> bool:
        """Whether the stream is lost for so long that nobody need wait any more."""
        self.lost_since = now if self.lost_since is None else self.lost_since
        return now - self.lost_since > _GIVE_UP_SECONDS


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
        self._seen: deque[tuple[int, float | None]] = deque(maxlen=_REMEMBERED)
        self._opened = False
        self._in_past = True  # until the first end of a history
        self._ended: ConnectionClosed | None = None

    def lines(self, *, follow: bool = False, last: int | None = None) -> Iterator[LogLine]:
        """The log's lines in their order.

        Args:
            follow: go on with what the app says from now, through reconnects, until it stops.
            last: of the history only so many lines; None gives all that the platform still has.

        Raises:
            DeployError: NOT_FOUND, AUTH_FAILED, LOG_STREAM.
        """
        history: deque[LogLine] | None = None if last is None else deque(maxlen=last)
        for batch in self.batches(follow=follow):
            if history is None:
                yield from batch or ()
            elif batch is None:
                yield from history
                history = None
            else:
                history += batch
        yield from history or ()

    def batches(self, *, follow: bool = False) -> Iterator[list[LogLine] | None]:
        """The same in lists, as they come; None once, where the history ends; an empty one while nothing comes."""
        tries = _Tries()
        while not self._stop.is_set():
            try:
                for batch in self._session(follow):
                    if batch:
                        tries = _Tries()
                    yield batch
                if not follow:
                    return
            except _CredentialError as e:
                tries.refused += 1
                if not follow or tries.refused > 2:
                    raise self._credential_refused(str(e)) from e
                self._workspace.renew()
            except _LostError as e:
                if not follow or not self._opened or tries.lasts(self._clock.now()):
                    raise self._failed(str(e)) from e
            if self._stop.is_set() or self._gone():
                return
            self._clock.sleep(tries.delay)
            tries.delay = min(tries.delay * 2, _DELAYS[1])

    def _gone(self) -> bool:
        """Whether the app has stopped, so that no line can come any more."""
        compute = self._workspace.apps.get(self._app).compute
        if compute in NO_PROCESS:
            events.emit(events.Note(f"The app {self._app} is {compute}: its log has ended."))
            return True
        return False

    def _session(self, follow: bool) -> Iterator[list[LogLine] | None]:
        """One connection, from the handshake to its end."""
        with self._connection() as connection:
            replay = _Replay(self._seen) if self._opened else None
            connection.send(self._search)
            self._opened, self._ended = True, None
            started = newest = self._clock.now()
            waiting, replaying = FIRST_SECONDS, True
            while not self._stop.is_set():
                lines = self._received(connection)
                if lines:
                    new = replay.new(lines) if replay else lines
                    self._seen.extend((_key(line), line.timestamp) for line in new)
                    before = self._clock.now()
                    yield [line for line in new if self._source is None or line.source == self._source]
                    # A reader that takes its time (`| less`) makes no pause of the app's.
                    newest, waiting = self._clock.now(), QUIET_SECONDS
                    started += newest - before
                now = self._clock.now()
                if replaying and (now - newest > waiting or now - started > REPLAY_SECONDS):
                    replaying = False  # the history is over
                    if replay:
                        self._say_what_is_unknown(replay)
                    replay = None
                    if self._in_past:
                        self._in_past = False
                        yield None
                    if not follow:
                        return
                if self._ended:
                    if replay:
                        self._say_what_is_unknown(replay)
                    return
                if not lines:
                    yield []

    def _received(self, connection: ClientConnection) -> list[LogLine]:
        """What has come, at most a batch of it; empty when nothing comes for a moment.

        A connection that ends is reported after the lines that came before its end: here, or by `_ended`.
        """
        lines: list[LogLine] = []
        size = 0
        try:
            while size < _LONGEST_BATCH and len(lines) < _AT_ONCE:
                line = parse(connection.recv(0 if lines else _TICK_SECONDS, decode=False))
                if line is not None:
                    lines.append(line)
                    size += len(line.message)
        except TimeoutError:
            pass
        except ConnectionClosed as e:
            code = e.rcvd.code if e.rcvd else 1006
            if code in (1000, 1001):
                self._ended = e
            elif not lines and code in _CREDENTIAL_CLOSES:
                raise _CredentialError(f"closed with {code}") from e
            elif not lines:
                raise _LostError(f"the connection ended with {code}") from e
        return lines

    def _say_what_is_unknown(self, replay: _Replay) -> None:
        """After a reconnect: where the platform replayed nothing of what was shown before."""
        if replay.overlaps or replay.last is None:
            return
        begins = f"begins at {_time(replay.first)}" if replay.first else "holds nothing of before"
        events.emit(
            events.Warned(
                f"The log stream of {self._app} was interrupted, and what the platform replays {begins}; the last "
                f"line before is from {_time(replay.last)}. Lines between them may be missing here."
            )
        )

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
                max_queue=_WAITING,
                ping_timeout=None,  # an answer waits behind the lines that a slow reader did not take yet
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
        document = resources.parsed_json(text) if text.startswith("{") else None
    except ValueError:
        document = None
    if not isinstance(document, dict) or "message" not in document:
        return LogLine("", text.rstrip("\r\n"))
    stamp = document.get("timestamp")
    known = isinstance(stamp, int | float) and 0 <= stamp < _LATEST
    return LogLine(
        source=str(document.get("source") or ""),
        message=str(document["message"]).rstrip("\r\n"),
        timestamp=float(stamp) if known and stamp is not None else None,
    )


class _Replay:
    """What a server sends again after a reconnect, held against the lines that came before it.

    Attributes:
        overlaps: whether any line came a second time: then nothing is missing between the two connections.
        first: when the first line of this connection was written.
        last: when the last line before it was.
    """

    def __init__(self, seen: deque[tuple[int, float | None]]) -> None:
        self._known = Counter(key for key, _ in seen)
        self._floor = next((stamp for _, stamp in seen if stamp is not None), None)
        self._at: float | None = None
        self.overlaps = False
        self.first: float | None = None
        self.last = next((stamp for _, stamp in reversed(seen) if stamp is not None), None)

    def new(self, lines: list[LogLine]) -> list[LogLine]:
        """Those that did not come before. Of lines that are alike, as many as came before are old."""
        return [line for line in lines if not self._is_old(line)]

    def _is_old(self, line: LogLine) -> bool:
        self._at = self._at if line.timestamp is None else line.timestamp
        self.first = self._at if self.first is None else self.first
        key = _key(line)
        if self._known[key] > 0:
            self._known[key] -= 1
            self.overlaps = True
            return True
        # Older than all that is remembered; a line without a time has that of the line before it.
        old = self._at is not None and self._floor is not None and self._at < self._floor
        self.overlaps = self.overlaps or old
        return old


def _key(line: LogLine) -> int:
    return hash((line.timestamp, line.source, line.message))


def _time(stamp: float) -> str:
    return f"{datetime.fromtimestamp(stamp):%H:%M:%S}"


def _status(error: BaseException) -> int | None:
    """The HTTP status that a handshake failed with, also below the exception that a redirect led to."""
    e: BaseException | None = error
    while e is not None:
        if isinstance(e, InvalidStatus):
            return e.response.status_code
        e = e.__cause__ or e.__context__
    return 302 if isinstance(error, InvalidHandshake) and "redirect" in str(error) else None
