"""`doctor --log`: known failures in a saved log, in each of its forms; none in an ordinary day's."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest

from metamcp_deploy.deployments.log import saved
from metamcp_deploy.doctor import saved_log
from metamcp_deploy.doctor.finding import Level
from metamcp_deploy.doctor.report import Report, schema
from metamcp_deploy.events import LogLine
from metamcp_deploy.redaction import Redactor
from tests import commands
from tests.doctor import ordinary_day

REFUSED = 'error: password authentication failed for user "0f3c"'
UP = "[MetaMCP][Databricks] MetaMCP is up, 812 ms after the launcher started"
AT = datetime(2026, 11, 21, 10, 0, 0, 250_000, UTC).timestamp()

# A line as others print it, and what it is.
FORMS = [
    (json.dumps({"timestamp": AT, "source": "APP", "message": REFUSED}), LogLine("APP", REFUSED, AT)),
    (f"10:00:00.250 APP    [backend] {REFUSED}", LogLine("APP", f"[backend] {REFUSED}")),
    (f"2026-11-21T10:00:00.250Z [APP] {REFUSED}", LogLine("APP", REFUSED, AT)),
    (f"[2026-11-21 10:00:00.250 +0000] [SYSTEM] {REFUSED}", LogLine("SYSTEM", REFUSED, AT)),
    (f"2026-11-21 10:00:00,250 UTC | APP | {REFUSED}", LogLine("APP", REFUSED, AT)),
    (f"[BUILD] {REFUSED}", LogLine("SYSTEM", REFUSED)),
    (f"2026-11-21T12:00:00.250000999+02:00 [backend] {REFUSED}", LogLine("APP", f"[backend] {REFUSED}", AT)),
    (REFUSED, LogLine("", REFUSED)),
    (" " * 20 + REFUSED, LogLine("", REFUSED)),
    ("{not json", LogLine("", "{not json")),
    ("APPLE is no source", LogLine("", "APPLE is no source")),
    ("9999-99-99T99:99:99Z [APP] x", LogLine("APP", "x")),
    ("x" * 1_000_000, LogLine("", "x" * 1_000_000)),
]


@pytest.mark.parametrize(("text", "line"), FORMS, ids=[text[:30] for text, _ in FORMS])
def test_forms(text: str, line: LogLine) -> None:
    found = list(saved.lines([text + "\r\n"]))
    assert [(one.source, one.message, one.timestamp) for one in found] == [
        (line.source, line.message, line.timestamp)
    ]


def test_explanations_are_no_lines_of_the_app() -> None:
    indent = " " * 20
    texts = [
        f"{indent}↳ It is refused [password-refused]",
        f"{indent}  cause: {REFUSED}",
        f"{indent}  fix: {REFUSED}",
        "",
    ]
    assert list(saved.lines(texts)) == []


def report(*messages: str) -> Report:
    return saved_log.look([LogLine("APP", message) for message in messages], "x.log", Redactor())


def test_findings() -> None:
    found = report("well", REFUSED, REFUSED + " password=hunter2").findings
    assert [(one.id, one.level) for one in found] == [("password-refused", Level.ERROR)]
    assert "2 lines" in found[0].evidence[0]
    assert "hunter2" not in found[0].evidence[0]
    assert found[0].fix
    jsonschema.validate(report(REFUSED).as_dict(), schema())
    jsonschema.validate(report().as_dict(), schema())


def test_what_is_over_is_a_note() -> None:
    assert [one.level for one in report(REFUSED, UP).findings] == [Level.NOTE]
    assert [one.level for one in report(UP, REFUSED).findings] == [Level.WARNING]
    again = report(REFUSED, UP, REFUSED).findings
    assert [(one.id, one.level) for one in again] == [("password-refused", Level.WARNING)]
    both = report(REFUSED, UP, "Error: listen EADDRINUSE: address already in use").findings
    assert [one.level for one in both] == [Level.WARNING, Level.NOTE]


def test_no_false_alarm_over_an_ordinary_day() -> None:
    """Also of what a day prints beside it: names and numbers that failures have, too."""
    day = ordinary_day.lines(20_000)
    assert len(day) == 20_000
    assert len({line.message for line in day}) > 10_000
    found = saved_log.look(day, "day", Redactor()).findings
    assert [one.id for one in found if one.level is not Level.NOTE] == []
    redactor = Redactor()
    redactor.lines([line.message for line in day])
    assert redactor.masked == 0


@pytest.mark.parametrize("where", ["file", "stdin"])
def test_the_command(where: str, tmp_path: Path) -> None:
    data = f"ordinary\n[backend] \xff\xfe {REFUSED}\n"
    (tmp_path / "app.log").write_bytes(data.encode("latin-1"))
    name, env = "app.log" if where == "file" else "-", {"HOME": str(tmp_path)}
    done = commands.run("doctor", "--log", name, "-o", "json", folder=tmp_path, env=env, given=data)
    document = json.loads(done.stdout)
    assert (done.returncode, document.get("status")) == (1, "error"), done
    jsonschema.validate(document, schema())
    assert [row["id"] for row in document["checks"]] == ["password-refused"]
    never = ("doctor", "--log", "app.log", "--fail-on", "never")
    assert commands.run(*never, folder=tmp_path, env=env).returncode == 0


@pytest.mark.parametrize(("words", "code"), [(("--log", "missing.log"), 1), (("--log", "x", "--fix"), 2)])
def test_what_cannot_be(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    done = commands.run("doctor", *words, folder=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode == code
    assert done.stderr
