"""The log stream: what a server sends, and what comes of it."""

from __future__ import annotations

import json
import threading
import time as real_time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import islice
from typing import Any

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import Clock, Workspace, logs
from metamcp_deploy.workspace.logs import Logs
from tests.workspace.fake_host import Answer, Connect, FakeHost

APP = "/api/2.0/apps/x"
Session = Callable[[ServerConnection], None]


class Stream:
    """A log stream: each connection runs the next session (the last one stays); `status` refuses the handshake."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.searched: list[str] = []
        self.tokens: list[str] = []
        self.origins: list[str] = []
        self.refusals: list[int] = []
        self.server: Server = serve(self._serve, "127.0.0.1", 0, process_request=self._handshake)
        self.url = f"http://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        assert request.path == "/logz/stream"
        self.tokens.append(request.headers["Authorization"])
        self.origins.append(request.headers["Origin"])
        if self.refusals:
            response = connection.respond(HTTPStatus(self.refusals.pop(0)), "")
            response.headers["Location"] = "https://login.example.com/"
            return response
        return None

    def _serve(self, connection: ServerConnection) -> None:
        self.searched.append(str(connection.recv()))
        session = self.sessions.pop(0) if len(self.sessions) > 1 else self.sessions[0]
        session(connection)


@pytest.fixture
def stream(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    monkeypatch.setattr(logs, "FIRST_SECONDS", 0.4)
    monkeypatch.setattr(logs, "QUIET_SECONDS", 0.15)
    monkeypatch.setattr(logs, "_TICK_SECONDS", 0.02)
    found = Stream()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    host.on("GET", APP, Answer(body={"name": "x", "url": found.url, "compute_status": {"state": "ACTIVE"}}))
    yield found
    found.server.shutdown()
    thread.join()


@pytest.fixture
def workspace(connect: Connect) -> Workspace:
    return connect(Clock(real_time.monotonic, lambda s: real_time.sleep(s / 20)))


def line(stamp: float, message: str, source: str = "APP") -> str:
    return json.dumps({"source": source, "timestamp": stamp, "message": message})


def sends(*frames: str | bytes, then: Any = 1000) -> Session:
    """A session that sends these frames and then waits for the client to go, or closes with a code."""

    def session(connection: ServerConnection) -> None:
        for frame in frames:
            connection.send(frame)
        if then is None:
            for _ in connection:
                pass
        else:
            connection.close(then)

    return session


def texts(found: Any) -> list[str]:
    return [entry.message for entry in found]


def test_frames() -> None:
    assert logs.parse(b"\0") is None
    assert logs.parse("\0") is None
    assert logs.parse(line(1.5, "hello\n")) == events.LogLine("APP", "hello", 1.5)
    assert logs.parse("no json") == events.LogLine("", "no json")
    assert logs.parse('{"other": 1}') == events.LogLine("", '{"other": 1}')
    assert logs.parse('{"message": "m", "source": null}') == events.LogLine("", "m")


def test_history_ends_with_a_pause(stream: Stream, workspace: Workspace) -> None:
    stream.sessions = [sends(b"\0", line(1, "a"), line(2, "b"), b"\0", "raw", then=None)]
    assert texts(Logs(workspace, "x", search="needle").lines()) == ["a", "b", "raw"]
    assert stream.searched == ["needle"]
    assert stream.origins == [stream.url]
    assert stream.tokens == ["Bearer token-1"]


def test_a_slow_reader_gets_all_of_it(stream: Stream, workspace: Workspace) -> None:
    """As `| less` does: a pause of the reader is none of the app's."""
    stream.sessions = [sends(*(line(n, str(n)) for n in range(1000)), then=None)]
    found = []
    for entry in Logs(workspace, "x").lines():
        if len(found) in (1, 300):
            real_time.sleep(0.4)
        found.append(entry.message)
    assert found == [str(n) for n in range(1000)]


def test_an_empty_history(stream: Stream, workspace: Workspace) -> None:
    stream.sessions = [sends(b"\0", then=None)]
    assert texts(Logs(workspace, "x").lines()) == []


@pytest.mark.parametrize(("last", "shown"), [(2, ["c", "d"]), (0, []), (9, ["a", "b", "c", "d"])])
def test_the_last_lines(stream: Stream, workspace: Workspace, last: int, shown: list[str]) -> None:
    stream.sessions = [sends(*(line(n, m) for n, m in enumerate("abcd")), then=None)]
    assert texts(Logs(workspace, "x").lines(last=last)) == shown


def test_the_last_lines_and_what_follows(stream: Stream, workspace: Workspace) -> None:
    def session(connection: ServerConnection) -> None:
        for n, message in enumerate("abc"):
            connection.send(line(n, message))
        real_time.sleep(0.5)
        connection.send(line(9, "new"))
        for _ in connection:
            pass

    stream.sessions = [session]
    assert texts(islice(Logs(workspace, "x").lines(follow=True, last=1), 2)) == ["c", "new"]


def test_only_one_source(stream: Stream, workspace: Workspace) -> None:
    stream.sessions = [sends(line(1, "a"), line(2, "s", "SYSTEM"), "raw", then=None)]
    assert texts(Logs(workspace, "x", source="SYSTEM").lines()) == ["s"]


@pytest.mark.parametrize("code", [1001, 1011])
def test_a_reconnect_repeats_and_loses_nothing(stream: Stream, workspace: Workspace, code: int) -> None:
    first = [line(1, "old"), line(2, "same"), line(2, "same"), line(3, "last")]
    stream.sessions = [sends(*first, then=code), sends(*first, line(3, "missed"), line(4, "new"), then=None)]
    found = texts(islice(Logs(workspace, "x").lines(follow=True), 6))
    assert found == ["old", "same", "same", "last", "missed", "new"]


def test_a_line_that_is_written_twice_is_shown_twice(stream: Stream, workspace: Workspace) -> None:
    """Two connections apart: as many as came before are old, and no more."""
    first = [line(1, "a"), line(2, "same"), line(2, "same")]
    stream.sessions = [sends(*first, then=1011), sends(*first, line(2, "same"), "raw", then=None)]
    found = texts(islice(Logs(workspace, "x").lines(follow=True), 5))
    assert found == ["a", "same", "same", "same", "raw"]


def test_what_was_not_to_be_shown_is_not_after_a_reconnect(stream: Stream, workspace: Workspace) -> None:
    history = [line(n, m) for n, m in enumerate("abc")]

    def session(connection: ServerConnection) -> None:
        for frame in history:
            connection.send(frame)
        real_time.sleep(0.4)
        connection.close(1011)

    stream.sessions = [session, sends(*history, line(9, "new"), then=None)]
    assert texts(islice(Logs(workspace, "x").lines(follow=True, last=0), 1)) == ["new"]


@pytest.mark.parametrize(
    ("replayed", "said"),
    [([line(90, "later")], "begins at"), ([], "nothing of before"), ([line(1, "a")], "")],
)
def test_where_lines_may_be_missing_it_is_said(
    stream: Stream, workspace: Workspace, seen: list[events.Event], replayed: list[str], said: str
) -> None:
    def second(connection: ServerConnection) -> None:
        for frame in replayed:
            connection.send(frame)
        real_time.sleep(0.8)
        connection.send(line(99, "end"))
        for _ in connection:
            pass

    stream.sessions = [sends(line(1, "a"), line(2, "b"), then=1011), second]
    found = []
    for entry in Logs(workspace, "x").lines(follow=True):
        found.append(entry.message)
        if entry.message == "end":
            break
    assert found == ["a", "b", *(["later"] if "begins" in said else []), "end"]
    warnings = [e.text for e in seen if isinstance(e, events.Warned)]
    assert len(warnings) == bool(said)
    assert all(said in text and "may be missing" in text for text in warnings)


HOSTILE = [
    "[" * 100_000,
    "{" * 1000,
    '{"message":' + "[" * 100_000,
    "\x1b[2J\x1b]0;title\x07 [bold]no markup[/]",
    "x" * 1_000_000,
    "\u202e and \ud7ff",
]


def test_lines_may_hold_anything(stream: Stream, workspace: Workspace) -> None:
    frames: list[str | bytes] = [*HOSTILE, line(1, "surrogate \ud800"), *(line(2, text) for text in HOSTILE)]
    stream.sessions = [sends(*frames, then=None)]
    assert texts(Logs(workspace, "x").lines()) == [*HOSTILE, "surrogate \ud800", *HOSTILE]


@pytest.mark.parametrize("stamp", ["1e400", "-1", "1763700000000", '"now"', "null", "true"])
def test_times_that_are_none(stamp: str) -> None:
    found = logs.parse(f'{{"message": "m", "timestamp": {stamp}}}')
    assert found is not None
    assert found.timestamp in (None, 1.0)


def test_text_that_is_no_unicode() -> None:
    assert logs.parse(b"caf\xe9 \xff") == events.LogLine("", "caf\ufffd \ufffd")


def test_after_a_reconnect_the_tail_stays_a_tail(stream: Stream, workspace: Workspace) -> None:
    history = [line(n, m) for n, m in enumerate("abc")]

    def session(connection: ServerConnection) -> None:
        for frame in history:
            connection.send(frame)
        real_time.sleep(0.4)
        connection.close(1011)

    stream.sessions = [session, sends(*history, line(9, "new"), then=None)]
    assert texts(islice(Logs(workspace, "x").lines(follow=True, last=1), 2)) == ["c", "new"]


@pytest.mark.parametrize("refusal", [302, 401, 403])
def test_a_refused_credential_is_renewed_when_following(
    stream: Stream, workspace: Workspace, host: FakeHost, refusal: int
) -> None:
    stream.refusals = [refusal]
    stream.sessions = [sends(line(1, "a"), then=None)]
    reader = Logs(workspace, "x").lines(follow=True)
    host.on(
        "POST",
        "/oidc/v1/token",
        Answer(body={"access_token": "token-2", "token_type": "Bearer", "expires_in": 3600}),
    )
    assert texts(islice(reader, 1)) == ["a"]
    assert stream.tokens[-1] == "Bearer token-2"


def test_a_token_that_ends_while_following(stream: Stream, workspace: Workspace) -> None:
    stream.sessions = [sends(line(1, "a"), then=4401), sends(line(1, "a"), line(2, "b"), then=None)]
    assert texts(islice(Logs(workspace, "x").lines(follow=True), 2)) == ["a", "b"]


@pytest.mark.parametrize("follow", [False, True])
def test_a_credential_that_stays_refused(stream: Stream, workspace: Workspace, follow: bool) -> None:
    stream.refusals = [403] * 9
    with pytest.raises(DeployError) as caught:
        list(Logs(workspace, "x").lines(follow=follow))
    assert caught.value.code is Code.AUTH_FAILED
    assert "403" in caught.value.message


@pytest.mark.parametrize("refusal", [404, 502])
def test_a_stream_that_is_not_there(stream: Stream, workspace: Workspace, refusal: int) -> None:
    stream.refusals = [refusal]
    with pytest.raises(DeployError) as caught:
        list(Logs(workspace, "x").lines())
    assert caught.value.code is Code.LOG_STREAM
    assert str(refusal) in caught.value.message


def test_following_ends_with_the_app(
    stream: Stream, workspace: Workspace, host: FakeHost, seen: list[events.Event]
) -> None:
    running = {"name": "x", "url": stream.url, "compute_status": {"state": "ACTIVE"}}
    host.on(
        "GET", APP, Answer(body=running), Answer(body={**running, "compute_status": {"state": "STOPPED"}})
    )
    stream.sessions = [sends(line(1, "bye"), then=1001)]
    assert texts(Logs(workspace, "x").lines(follow=True)) == ["bye"]
    assert any("STOPPED" in e.text for e in seen if isinstance(e, events.Note))


def test_without_compute_there_is_no_log(host: FakeHost, workspace: Workspace) -> None:
    host.on(
        "GET",
        APP,
        Answer(body={"name": "x", "url": "https://x.example.com", "compute_status": {"state": "STOPPED"}}),
    )
    with pytest.raises(DeployError) as caught:
        list(Logs(workspace, "x").lines())
    assert caught.value.code is Code.LOG_STREAM
    assert "STOPPED" in caught.value.message


def test_a_reader_can_be_stopped(stream: Stream, workspace: Workspace) -> None:
    stream.sessions = [sends(line(1, "a"), then=None)]
    stop = threading.Event()
    found: list[str] = []
    reader = Logs(workspace, "x", stop=stop)
    thread = threading.Thread(target=lambda: found.extend(texts(reader.lines(follow=True))))
    thread.start()
    real_time.sleep(0.3)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert found == ["a"]


def test_an_app_that_never_pauses(
    stream: Stream, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "REPLAY_SECONDS", 0.3)

    def session(connection: ServerConnection) -> None:
        for n in range(10_000):
            connection.send(line(n, str(n)))
            real_time.sleep(0.01)

    stream.sessions = [session]
    assert 1 < len(list(Logs(workspace, "x").lines())) < 200
