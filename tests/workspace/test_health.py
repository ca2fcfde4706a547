"""What an app's answers mean."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from metamcp_deploy import events, health
from metamcp_deploy.deployments import telling_lines
from metamcp_deploy.errors import Code
from metamcp_deploy.events import LogLine
from metamcp_deploy.health import Report, Status
from metamcp_deploy.knowledge import recognise
from metamcp_deploy.knowledge.place import Place
from metamcp_deploy.network import Network
from tests.workspace.fake_host import Answer, FakeClock, FakeHost

WELL = Answer(body={"status": "ok"})
LAUNCHER = {"status": "failed", "step": "migrations", "code": "no_schema", "message": "no", "request_id": "r"}
HTML = {"Content-Type": "text/html"}


def look(url: str, network: Network, time: FakeClock, wait: float = 0) -> Report:
    headers = {"Authorization": "Bearer t"}
    return health.check(url, lambda: headers, network.requests_session(), wait=wait, clock=time.clock)


@pytest.mark.parametrize(
    ("alive", "ready", "status"),
    [
        (WELL, WELL, Status.HEALTHY),
        (Answer(302, b"", {"Location": "/oidc/login?x=1"}), WELL, Status.NOT_AUTHENTICATED),
        (Answer(401), WELL, Status.NOT_AUTHENTICATED),
        (Answer(403), WELL, Status.NOT_AUTHENTICATED),
        (Answer(404), WELL, Status.WRONG_PATH),
        (Answer(200, b"<html>a page</html>", HTML), WELL, Status.WRONG_PATH),
        (Answer(502, b"<html>Bad Gateway</html>", HTML), WELL, Status.NOT_LISTENING),
        (Answer(503, b"unavailable", HTML), WELL, Status.NOT_LISTENING),
        (Answer(503, LAUNCHER), WELL, Status.STARTING),
        (Answer(502, LAUNCHER), WELL, Status.STARTING),
        (Answer(503, LAUNCHER, {"Retry-After": "10"}), WELL, Status.STARTING),
        (Answer(503, LAUNCHER, {"Retry-After": "60"}), WELL, Status.FAILED),
        (WELL, Answer(500, {"error": "Internal server error"}), Status.DATABASE_DOWN),
        (Answer(500), WELL, Status.UNEXPECTED),
        (WELL, Answer(404), Status.WRONG_PATH),
    ],
)
def test_statuses(
    host: FakeHost, network: Network, time: FakeClock, alive: Answer, ready: Answer, status: Status
) -> None:
    host.on("GET", health.ALIVE_PATH, alive)
    host.on("GET", health.READY_PATH, ready)
    report = look(host.url, network, time)
    failure = report.failure()
    assert report.status is status
    assert (failure is None) == (status is Status.HEALTHY)
    assert all(r.headers["Authorization"] == "Bearer t" for r in host.requests)
    if failure:
        assert failure.code is Code.UNHEALTHY
        assert status.value in failure.message
        assert failure.hint


def test_the_launchers_words_reach_the_error(host: FakeHost, network: Network, time: FakeClock) -> None:
    host.on("GET", health.ALIVE_PATH, Answer(503, LAUNCHER))
    failure = look(host.url, network, time).failure()
    assert failure is not None
    assert "failed at step migrations (no_schema): no" in (failure.detail or "")


def test_a_start_that_is_tried_again_names_its_cause_once(
    host: FakeHost, network: Network, time: FakeClock
) -> None:
    more = {"code": "login_refused", "cause": "The role is missing.", "fix": "Attach the database."}
    host.on("GET", health.ALIVE_PATH, Answer(503, {**LAUNCHER, **more}))
    seen: list[events.Event] = []
    with events.listening(seen.append):
        failure = look(host.url, network, time, wait=5).failure(Place("dev"))
    assert failure is not None
    assert "The database refused the credential" in failure.message
    assert failure.hint.startswith("It is renewed and tried again by itself.")
    assert {str(e) for e in seen if "waits" in str(e)} == {
        str(events.Progress("waits for a healthy answer (failed at step migrations (login_refused))"))
    }


def test_a_start_that_failed_for_good_ends_the_waiting(
    host: FakeHost, network: Network, time: FakeClock
) -> None:
    answer = Answer(503, {**LAUNCHER, "code": "schema_unknown"}, {"Retry-After": "60"})
    host.on("GET", health.ALIVE_PATH, answer)
    report = look(host.url, network, time, wait=120)
    assert report.status is Status.FAILED
    assert sum(time.slept) <= 3  # once more: the process that a deployment replaces may have answered
    failure = report.failure(Place("dev"))
    assert failure is not None
    cause = recognise("launcher", code="schema_unknown")
    assert cause is not None
    assert cause.title in failure.message
    assert failure.hint == cause.hint(place=Place("dev"))
    host.on("GET", health.ALIVE_PATH, answer, WELL)
    host.on("GET", health.READY_PATH, WELL)
    assert look(host.url, network, time, wait=120).status is Status.HEALTHY


def test_a_start_that_is_tried_again_names_why_the_last_try_failed(
    host: FakeHost, network: Network, time: FakeClock
) -> None:
    again = {**LAUNCHER, "status": "starting", "step": "migrate", "code": "starting", "message": "They run."}
    last = {"step": "migrate", "code": "migrations_locked"}
    host.on("GET", health.ALIVE_PATH, Answer(503, {**again, "last_failure": last}))
    report = look(host.url, network, time, wait=5)
    assert report.status is Status.STARTING  # which may heal
    failure = report.failure(Place("dev"))
    cause = recognise("launcher", code="migrations_locked")
    assert failure is not None
    assert cause is not None
    assert cause.title in failure.message
    assert (failure.hint or "").endswith(cause.hint(place=Place("dev")))
    assert "The try before failed at step migrate (migrations_locked)." in (failure.detail or "")


def test_nothing_listens(network: Network, time: FakeClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    report = look(url, network, time)
    assert report.status is Status.NOT_LISTENING
    assert report.checks[0].http is None


def test_waiting_until_it_is_healthy(host: FakeHost, network: Network, time: FakeClock) -> None:
    host.on("GET", health.ALIVE_PATH, Answer(502), Answer(503, LAUNCHER), WELL)
    host.on("GET", health.READY_PATH, Answer(500), WELL)
    assert look(host.url, network, time, wait=60).status is Status.HEALTHY
    assert 0 < sum(time.slept) < 5


def test_waiting_has_an_end(host: FakeHost, network: Network, time: FakeClock) -> None:
    host.on("GET", health.ALIVE_PATH, Answer(502))
    assert look(host.url, network, time, wait=30).status is Status.NOT_LISTENING
    assert 25 < sum(time.slept) <= 30


def test_what_waiting_cannot_change_is_not_waited_for(
    host: FakeHost, network: Network, time: FakeClock
) -> None:
    host.on("GET", health.ALIVE_PATH, Answer(302, b"", {"Location": "/login"}))
    assert look(host.url, network, time, wait=60).status is Status.NOT_AUTHENTICATED
    assert not time.slept


def test_the_document(host: FakeHost, network: Network, time: FakeClock) -> None:
    host.on("GET", health.ALIVE_PATH, WELL)
    host.on("GET", health.READY_PATH, WELL)
    document: dict[str, Any] = json.loads(json.dumps(look(host.url + "/", network, time).as_dict()))
    assert (document["url"], document["status"]) == (host.url, "healthy")
    assert [(c["path"], c["ok"], c["http"]) for c in document["checks"]] == [
        ("/metamcp/health", True, 200),
        ("/metamcp", True, 200),
        ("/_next/static/health.js", True, 404),
    ]


@pytest.mark.parametrize(
    ("front", "status"),
    [
        (Answer(404, b"Not Found"), Status.HEALTHY),
        (Answer(200, b""), Status.HEALTHY),
        (Answer(503, LAUNCHER), Status.STARTING),
        (Answer(500), Status.UNEXPECTED),
        (Answer(late=1), Status.FRONT_END_SILENT),
    ],
)
def test_a_front_end_that_does_not_answer(
    host: FakeHost,
    network: Network,
    time: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    front: Answer,
    status: Status,
) -> None:
    assert health._STATIC_SECONDS == (5.0, 10.0)
    monkeypatch.setattr(health, "_STATIC_SECONDS", (5.0, 0.3))
    host.on("GET", health.ALIVE_PATH, WELL)
    host.on("GET", health.READY_PATH, WELL)
    host.on("GET", health.STATIC_PATH, front)
    report = look(host.url, network, time)
    assert report.status is status
    assert [c.ok for c in report.checks][:2] == [True, True]


def test_a_stopped_app() -> None:
    failure = health.stopped("https://x.example.com", "STOPPED").failure()
    assert failure is not None
    assert "stopped" in failure.message


# What the backend of v2.4.22 prints where a query fails; recorded in the embedded workspace.
PG_ERROR = """
[backend] Endpoints cannot be listed: DrizzleQueryError: Failed query: select "metamcp_app"."endpoints"."name"
[backend] params:
[backend]     at process.processTicksAndRejections (node:internal/process/task_queues:105:5)
[backend]   query: 'select "metamcp_app"."endpoints"."name" from "metamcp_app"."endpoints"',
[backend]   params: [],
[backend]   cause: error: {message}
[backend]       at async file:///tmp/backend/index.mjs:43375:18 {{
[backend]     length: 104,
[backend]     severity: 'FATAL',
[backend]     code: '{code}',
[backend]     detail: undefined,
[backend]     position: '122',
[backend]     file: 'postmaster.c',
[backend]     line: '2358',
[backend]     routine: 'ProcessStartupPacket'
[backend]   }}
[backend] }}""".strip()


def printed(at: float, message: str, code: str) -> list[LogLine]:
    return [LogLine("APP", line, at) for line in PG_ERROR.format(message=message, code=code).splitlines()]


@pytest.mark.parametrize(
    ("message", "code", "title"),
    [
        ("the database system is starting up", "57P03", "The database is starting"),
        ('too many connections for role "8f0c2f6e"', "53300", "The database has no connection left"),
        ("permission denied for schema metamcp_app", "42501", "The app may not use a table of its schema"),
        ('relation "metamcp_app.endpoints" does not exist', "42P01", "A table or column"),
        ("cannot execute INSERT in a read-only transaction", "25006", "The database is read only"),
    ],
)
def test_a_failed_query_names_its_cause(message: str, code: str, title: str) -> None:
    before = printed(100.0, 'role "8f0c2f6e" does not exist', "28000")  # is over
    said = telling_lines.of_now([*before, *printed(200.0, message, code)])
    check = health.Check("ready", health.READY_PATH, Status.DATABASE_DOWN, 500, 0.1)
    failure = Report("https://x.example.com", Status.DATABASE_DOWN, (check,), said).failure()
    assert failure is not None
    assert title in failure.message
    assert f"cause: error: {message}" in (failure.detail or "")
    assert "undefined" not in (failure.detail or "")
    assert "28000" not in (failure.detail or "")


def test_the_last_lines_of_an_app_that_ended() -> None:
    lines = [*printed(1.0, "no", "57P03"), LogLine("SYSTEM", "App ended by itself with exit code -9.", 90.0)]
    assert telling_lines.last(lines)[-1] == "App ended by itself with exit code -9."
    assert "[backend]   cause: error: no" in telling_lines.last(lines)
    assert telling_lines.of_now([LogLine("APP", "listens", 1.0)]) == ("listens",)


def test_a_query_without_an_end_is_the_databases(
    host: FakeHost, network: Network, time: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_SECONDS", (5.0, 0.3))
    host.on("GET", health.ALIVE_PATH, WELL)
    host.on("GET", health.READY_PATH, Answer(late=1))
    report = look(host.url, network, time)
    failure = report.failure()
    assert report.status is Status.DATABASE_DOWN
    assert failure is not None
    assert "A query does not end" in failure.message
    assert "metamcp-deploy db sessions" in (failure.hint or "")
    assert "then then" not in (failure.hint or "")


def test_a_crash_is_no_request() -> None:
    failure = health.crashed("https://x.example.com", "App crashed with exit code -9.").failure()
    assert failure is not None
    assert failure.detail == "App crashed with exit code -9."
