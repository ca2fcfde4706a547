"""How `logs` prints lines: text for people, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from metamcp_deploy.cli.logs import _folder_or_context, _Json, _Text
from metamcp_deploy.cli.options import Run
from metamcp_deploy.deployments.log.view import Shown, View, Wishes
from metamcp_deploy.events import LogLine
from metamcp_deploy.knowledge.place import Place
from metamcp_deploy.redaction import Redactor

FAILURE = "error: password authentication failed for user"


def shown(*lines: LogLine) -> list[Shown]:
    return View(Wishes(explain=True), Redactor()).batch(list(lines))


def test_text() -> None:
    lines = shown(
        LogLine("APP", "one\ntwo", 1.5), LogLine("", "[bold]raw[/]"), LogLine("SYSTEM", "\x1b[2Jx", 2)
    )
    assert _Text(Place()).block(lines).split("\n") == [
        "1970-01-01 00:00:01.500 UTC APP    one",
        " " * 35 + "two",
        " " * 35 + "[bold]raw[/]",
        "1970-01-01 00:00:02.000 UTC SYSTEM x",
    ]


def test_a_failure_is_explained_in_full_once_and_named_again_after_a_minute() -> None:
    form = _Text(Place(target="prod"))
    first = form.block(shown(LogLine("APP", FAILURE, 1))).split("\n")
    assert "[password-refused]" in first[1]
    assert first[2].strip().startswith("cause: ")
    assert first[3].strip().startswith("fix: ")
    assert "TARGET" not in first[3]
    assert len(form.block(shown(LogLine("APP", FAILURE, 30))).split("\n")) == 1
    again = form.block(shown(LogLine("APP", FAILURE, 90))).split("\n")
    assert again[1:] == [first[1]]


def test_json_holds_anything() -> None:
    block = _Json().block(shown(LogLine("APP", "a\nb \u202e\ud800 é", 1), LogLine("APP", FAILURE, None)))
    block.encode()
    first, second = map(json.loads, block.split("\n"))
    assert first == {"timestamp": 1, "source": "APP", "message": "a\nb \ufffd é"}
    assert second["known"]["id"] == "password-refused"
    assert set(second["known"]) == {"id", "title", "cause", "fix"}


def test_a_number_for_a_folder_is_a_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run()
    assert (_folder_or_context(run, "3"), run.directory) == (3, None)
    (tmp_path / "4").mkdir()
    assert (_folder_or_context(run, "4"), run.directory) == (0, Path("4"))
    with pytest.raises(typer.BadParameter):
        _folder_or_context(run, "missing")
