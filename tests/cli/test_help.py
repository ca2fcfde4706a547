"""`--help` of every command: what people read there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from metamcp_deploy.cli import app
from tests import commands


def _commands(reached: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, reached
    for name, one in getattr(reached, "commands", {}).items():
        yield from _commands(one, (*words, name))


COMMANDS = list(_commands(typer.main.get_command(app), ()))


@pytest.mark.parametrize(
    ("words", "command"), COMMANDS, ids=lambda v: " ".join(v) if isinstance(v, tuple) else ""
)
def test_it_names_options_whole_and_no_types_of_switches(
    words: tuple[str, ...], command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = commands.run(*words, "-h", folder=tmp_path).stdout
    for wrong in ("<bool>", "range", "[x", "[[", "{"):
        assert wrong not in said, wrong
    for option in (o for param in command.params for o in (*param.opts, *param.secondary_opts)):
        if option.startswith("--"):
            assert re.search(rf"{option}(?![\w-])", said), option


def test_app_is_no_misspelt_option(tmp_path: Path) -> None:
    said = commands.run("plan", "--app", "gateway", folder=tmp_path)
    assert (said.returncode, "needs metamcp.yaml" in said.stderr, "--adopt" in said.stderr) == (
        2,
        True,
        False,
    )


def test_init_makes_its_folder(tmp_path: Path) -> None:
    assert commands.run("init", "-C", tmp_path / "new", folder=tmp_path).returncode == 0
    assert (tmp_path / "new" / "metamcp.yaml").exists()
    other = commands.run("plan", "-C", tmp_path / "other", folder=tmp_path)
    assert (other.returncode, "does not exist" in other.stderr) == (2, True)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    for words in (("local", "down"), ("local", "reset", "--auto-approve")):
        assert str(tmp_path) in commands.run(*words, folder=tmp_path).stdout
