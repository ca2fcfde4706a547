import json

import pytest

from metamcp_deploy import events
from metamcp_deploy.console import Console, duration
from metamcp_deploy.errors import Code, DeployError


def test_events_are_lines_on_stderr_and_data_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    with console.following():
        events.emit(events.StageStarted("build", "first run"))
        events.emit(events.Output("pnpm", "\x1b[31mred [bold]\x1b[0m\a"))
        events.emit(events.Progress("installing", 1, 10))
        events.emit(events.Progress("installing", 2, 10))
        events.emit(events.Warned("a branch moves", "pin a tag"))
        events.emit(events.StageFinished("build", 61.2, "release abc"))
    console.data({"a": 1}, "one")
    out, err = capsys.readouterr()
    assert out == "one\n"
    lines = [line.strip() for line in err.splitlines()]
    assert lines == [
        "▸ build (first run)",
        "pnpm: red [bold]",
        "installing",
        "! a branch moves",
        "pin a tag",
        "✓ build release abc 1 min 01 s",
    ]


def test_progress_as_json_is_one_event_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console("json", "json")
    with console.following():
        events.emit(events.StageSkipped("patch", "up to date"))
        events.emit(events.Changed("created", "app", "metamcp"))
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["stage"]) == ("stage_skipped", "patch")
    assert (second["action"], second["name"]) == ("created", "metamcp")


def test_hidden_values_are_stars_in_other_programs_output(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.hide(["marked-secret"])
    with console.following():
        events.emit(events.Output("npm", "auth=marked-secret"))
    assert "marked-secret" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_half_characters_of_others_are_shown_as_unknown_ones(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """JSON can name one half of a pair (RFC 8259, 8.2), which no encoding of a terminal has."""
    for console in (Console(), Console(output="json")):
        console.data({"by": "a\ud800"}, "a\ud800")
        console.error(DeployError(Code.NOT_FOUND, "a\udfff", hint="h"))
        console.event(events.Warned("a\udfff", ""))
    seen = capsysbinary.readouterr()
    assert b"a\xef\xbf\xbd" in seen.out
    assert b"a\xef\xbf\xbd" in seen.err
