"""Every command that a hint names exists, takes its options, and can be pasted as it stands."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.exceptions import TyperException

import metamcp_deploy
from metamcp_deploy.cli import app, hints
from metamcp_deploy.cli.hints import Typed
from metamcp_deploy.knowledge import loading
from metamcp_deploy.knowledge.place import Place

SOURCE = Path(metamcp_deploy.__file__).parent
ROOT: Any = typer.main.get_command(app)
OPTIONS = {
    "called",
    "options",
    "locate.called(site.project)",
    "locate.called(run.project)",
    "on",
    "again",
    "_options(seen)",
}
PROSE = {
    "take",
    "reads",
    "sent",
    "that",
    "recorded",
    "sends",
    "embedded",
    "which",
    "wrote",
    "as",
    "x",
    "migrate",
}
PLACES = [Place(), Place("dev"), Place(app="metamcp", profile="PROD")]


def literals(path: Path) -> Iterator[tuple[str, str]]:
    """Each text of a module that names one of our commands, docstrings aside, with its place."""
    tree = ast.parse(path.read_text())
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(_part(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            text = node.value
        else:
            continue
        if "metamcp-deploy " in text:
            yield f"{path.relative_to(SOURCE)}:{node.lineno}", text


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    if isinstance(part.value, ast.IfExp):
        return ""
    return "-t dev" if ast.unparse(part.value) in OPTIONS else "x"


def command(words: str) -> Any:
    reached = ROOT
    for word in words.split():
        if word not in getattr(reached, "commands", {}):
            return None
        reached = reached.commands[word]
    return None if hasattr(reached, "commands") else reached


def all_texts() -> list[tuple[str, str]]:
    found = [one for path in sorted(SOURCE.rglob("*.py")) for one in literals(path)]
    for where in loading.folders():
        for known in loading.folder(where):
            found += [(f"{where}/{known.id}", known.hint(place=place)) for place in PLACES]
            found += [
                (f"{where}/{known.id}", step.run or "") for p in PLACES for step in known.steps(place=p)
            ]
    return found


TEXTS = all_texts()


def parsed(words: str, rest: str) -> dict[str, Any]:
    """The options that a command line gives, as the real parser reads them."""
    reached = command(words)
    assert reached is not None, f"there is no command `{words}`"
    with reached.make_context(words, shlex.split(rest)) as context:
        return dict(context.params)


def commands(text: str) -> list[tuple[str, str]]:
    return [(found["words"], found["rest"]) for found in hints.COMMAND.finditer(text)]


RUNS = {
    "as it stands": Typed(),
    "of a target": Typed(target="dev", profile="P"),
    "of an app": Typed(app="metamcp", profile="P"),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_every_command_of_a_hint_is_one(run: Typed) -> None:
    wrong = []
    for where, text in TEXTS:
        for words, rest in commands(hints.completed(text, run)):
            if words in PROSE:
                continue
            try:
                parsed(words, rest.replace("--help", "x").replace("FOLDER", "/"))
            except (AssertionError, TyperException, ValueError) as e:
                wrong.append(f"{where}: {words}{rest}: {getattr(e, 'message', e)}")
    assert not wrong, "\n".join(wrong)


def test_the_commands_that_take_an_app_are_those_that_the_parser_knows() -> None:
    def leaves(reached: Any, words: str) -> Iterator[tuple[str, Any]]:
        for name, one in reached.commands.items():
            whole = f"{words} {name}".strip()
            yield from leaves(one, whole) if hasattr(one, "commands") else [(whole, one)]

    known = dict(leaves(ROOT, ""))
    assert set(known) == hints.TAKE_APP | hints.TAKE_TARGET | hints.OF_A_FOLDER
    assert {
        name for name, one in known.items() if any("--app" in p.opts for p in one.params)
    } == hints.TAKE_APP


@pytest.mark.parametrize(
    ("text", "run", "shown"),
    [
        ("metamcp-deploy logs", Typed(target="dev"), "metamcp-deploy logs -t dev"),
        ("metamcp-deploy logs", Typed(), "metamcp-deploy logs"),
        ("metamcp-deploy logs", Typed(app="a", profile="my P"), "metamcp-deploy logs --app a -p 'my P'"),
        ("metamcp-deploy deploy", Typed(app="a", profile="P"), "metamcp-deploy deploy -t TARGET"),
        ("metamcp-deploy logs -t prod --grep x", Typed(target="dev"), "metamcp-deploy logs -t prod --grep x"),
        ("`metamcp-deploy build` first", Typed(target="dev"), "`metamcp-deploy build -t dev` first"),
        (
            "metamcp-deploy local up",
            Typed(target="dev", directory=Path("/w")),
            "metamcp-deploy local up -C /w",
        ),
        (
            "Stop it: metamcp-deploy stop; then metamcp-deploy start",
            Typed(target="dev"),
            "Stop it: metamcp-deploy stop -t dev; then metamcp-deploy start -t dev",
        ),
        (
            "metamcp-deploy secrets set KEY < FILE",
            Typed(target="d"),
            "metamcp-deploy secrets set -t d KEY < FILE",
        ),
    ],
)
def test_what_was_typed_goes_on_counting(text: str, run: Typed, shown: str) -> None:
    assert hints.completed(text, run) == shown
