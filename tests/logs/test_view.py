"""What `logs` shows of a log: selection, context, masks and explanations."""

from __future__ import annotations

import re
from typing import Any

import pytest

from metamcp_deploy.deployments.log import expression
from metamcp_deploy.deployments.log.kinds import Level, Levels, Service, service
from metamcp_deploy.deployments.log.times import moment
from metamcp_deploy.deployments.log.view import Shown, Tail, View, Wishes
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.events import LogLine
from metamcp_deploy.redaction import Redactor

LINES = [
    LogLine("SYSTEM", "Starting app with command: ['node', 'start.mjs']", 10),
    LogLine("APP", "[MetaMCP][Databricks] Listening on 0.0.0.0:8000", 11),
    LogLine("APP", "[migrate] Created schema metamcp_app", 12),
    LogLine("APP", "[backend] Server is running on port 1234", 13),
    LogLine("APP", "[backend] [MetaMCP][mail] mail server: ready", 14),
    LogLine("APP", "[frontend]  ✓ Starting...", 15),
    LogLine("APP", "[backend] Error calling tool: McpError: closed", 16),
    LogLine("APP", "[backend]     at Client.close (index.mjs:1:2)", 16),
    LogLine("APP", "[frontend] ⚠ a warning, request 0af7-51", 17),
    LogLine("APP", "[backend] [MetaMCP][client] Error connecting", 18),
    LogLine("", "raw", None),
]


def shown(wishes: Wishes, lines: list[LogLine] = LINES, at_once: int = 3) -> list[Shown]:
    view = View(wishes, Redactor())
    return [one for n in range(0, len(lines), at_once) for one in view.batch(lines[n : n + at_once])]


def times(wishes: Wishes, **more: Any) -> list[float | None]:
    return [one.line.timestamp for one in shown(wishes, **more)]


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("system", [10]),
        ("launcher", [11, 12]),
        ("backend", [13, 16, 16, 18]),
        ("mcp", [14]),
        ("frontend", [15, 17]),
    ],
)
def test_service(who: str, expected: list[float]) -> None:
    assert times(Wishes(services=frozenset({Service(who)}))) == expected
    assert service(LINES[-1]) is None


@pytest.mark.parametrize(
    ("level", "expected"),
    [("error", [16, 16, 18]), ("warning", [16, 16, 17, 18]), ("info", [line.timestamp for line in LINES])],
)
def test_level(level: str, expected: list[float | None]) -> None:
    assert times(Wishes(level=Level(level))) == expected


@pytest.mark.parametrize(
    ("message", "level"),
    [
        ("[backend] 2026-11-21T10:00:00.000Z ERROR [Better Auth]: Invalid password", "error"),
        ("[backend] 2026-11-21T10:00:00.000Z INFO  it failed before, and is well", "info"),
        ("[backend] [DEBUG-TOOLS] tools/list called, error count 0", "debug"),
        ('[backend] {"level":"warn","msg":"an error"}', "warning"),
        ("[MetaMCP][Databricks] Failed to fetch workspace OAuth token", "error"),
        ("[backend] }", "info"),
    ],
)
def test_level_of_a_line(message: str, level: str) -> None:
    assert Levels().of(LogLine("APP", message)) == level


def test_since_and_until() -> None:
    assert times(Wishes(since=12, until=14)) == [12, 13, 14]
    # The last line has no time: it has that of the line before it.
    assert times(Wishes(since=18)) == [18, None]
    assert times(Wishes(since=19)) == []


def test_request() -> None:
    assert times(Wishes(request="0af7-51")) == [17]
    assert Wishes(request="0af7-51").search == "0af7-51"


@pytest.mark.parametrize("at_once", [1, 2, 50])
def test_context_as_grep_prints_it(at_once: int) -> None:
    lines = [LogLine("APP", f"{n} {'hit' if n in (3, 5, 12) else 'no'}", n) for n in range(15)]

    def numbers(before: int, after: int) -> list[int | str]:
        wishes = Wishes(grep="hit$", before=before, after=after)
        found: list[int | str] = []
        for one in shown(wishes, lines=lines, at_once=at_once):
            found += ["--"] * one.apart + [int(one.line.timestamp or 0)]
        return found

    assert numbers(0, 0) == [3, 5, 12]
    assert numbers(1, 0) == [2, 3, 4, 5, "--", 11, 12]
    assert numbers(0, 2) == [3, 4, 5, 6, 7, "--", 12, 13, 14]
    assert numbers(3, 3) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert numbers(1, 1) == [2, 3, 4, 5, 6, "--", 11, 12, 13]


def test_masked_before_it_is_searched() -> None:
    lines = [LogLine("APP", "da\x1b[0mpi" + "0123456789abcdef" * 2, 1), LogLine("APP", "password=hunter2", 2)]
    assert [one.line.message for one in shown(Wishes(), lines=lines)] == ["dapi********", "password=********"]
    assert shown(Wishes(grep="hunter"), lines=lines) == []


def test_known_failures() -> None:
    lines = [LogLine("APP", "well", 1), LogLine("APP", "error: password authentication failed for user", 2)]
    assert [one.known and one.known.id for one in shown(Wishes(explain=True), lines=lines)] == [
        None,
        "password-refused",
    ]
    assert [one.known for one in shown(Wishes(), lines=lines)] == [None, None]


def test_the_last_lines() -> None:
    some = [Shown(line) for line in LINES]
    tail = Tail(2)
    assert list(tail.add(some)) == []
    assert list(tail.end()) == some[-2:]
    assert list(tail.add(some[:1])) == some[:1]
    everything = Tail(None)
    assert list(everything.add(some)) == some
    assert list(everything.end()) == []


# What the server may search for: every line with the expression holds it.
LITERALS = {
    "pool .*full": "pool",
    "(abc)+def": "def",
    "abc|def": "",
    "(?i)error": "",
    "ab?c": "",
    "user \\d+ left": "user",
    "abc?def": "def",
    "foo[xyz]bar1": "bar1",
    "foo+barbaz": "barbaz",
    "(foo){0}barr": "barr",
    "\\x41bcd": "",
    "\\123456": "",
    "a{100,200}bcd": "bcd",
    "[[:alpha:]]abc": "abc",
    "connection refused": "connection refused",
    "\\Qa.b": "",
    "[^]abc]de*f": "",
}


@pytest.mark.parametrize("text", LITERALS)
def test_what_the_server_searches_for(text: str) -> None:
    assert expression.literal(text) == LITERALS[text]
    assert Wishes(grep=text).search == LITERALS[text]
    assert Wishes(grep=text, before=1).search == ""
    for line in ("user 12 left abcdef", "pool is full", "fooxbar1 foobarbaz barr", "connection refused"):
        if re.search(text.replace("\\Q", ""), line) and "[[" not in text:
            assert LITERALS[text] in line


@pytest.mark.parametrize(
    ("text", "hint"),
    [("(?=x)", "look-around"), (r"(a)\1", "groups"), ("(?>a)", "atomic"), ("(", "\\Q"), ("x" * 2000, "less")],
)
def test_what_it_cannot_say(text: str, hint: str) -> None:
    with pytest.raises(DeployError) as caught:
        View(Wishes(grep=text), Redactor())
    assert caught.value.code is Code.USAGE
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "back"),
    [("15m", 900), ("1h30m", 5400), ("90s", 90), ("2d", 172800), ("0.5h", 1800), ("1w", 604800)],
)
def test_durations(text: str, back: float) -> None:
    assert moment(text, "--since", 1_763_700_000) == 1_763_700_000 - back


def test_times() -> None:
    now = 1_763_700_000.0
    assert moment("2026-11-21T14:30:00Z", "--since", now) == 1_795_271_400
    assert moment("2026-11-21T14:30:00+02:00", "--since", now) == 1_795_264_200
    assert 0 <= now - moment("14:30", "--since", now) < 86400
    assert 0 <= now - moment("23:59:59", "--since", now) < 86400


@pytest.mark.parametrize("text", ["soon", "", "15", "15 m", "25:00", "9" * 12 + "w", "-5m", "2026-13-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(DeployError) as caught:
        moment(text, "--since", 1_763_700_000)
    assert caught.value.code is Code.USAGE
    assert "--since" in caught.value.message
