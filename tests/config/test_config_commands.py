"""`init` and `config ...` as a person or a pipeline runs them."""

import json
from pathlib import Path

import pytest
import typer

from metamcp_deploy.cli import boundary
from metamcp_deploy.cli import config as commands
from tests.config.working import TARGETS


def run(*words: str) -> int:
    top = typer.Typer()
    top.command()(commands.init)
    top.add_typer(commands.app)
    return boundary.guarded(lambda: top(args=list(words), standalone_mode=False), words)


def test_init_then_check_and_show(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("init") == 0
    assert capsys.readouterr().out.splitlines() == [f"{folder}/metamcp.yaml", f"{folder}/.env.template"]
    assert run("config", "check") == 0
    assert run("config", "show", "--origin", "--set", "upstream.ref=main") == 0
    out = capsys.readouterr().out
    assert "flag --set" in out
    assert "metamcp.yaml:" in out
    assert run("init", "-o", "json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "config_exists"


def test_show_is_for_programs_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "metamcp.yaml").write_text(TARGETS)
    assert run("config", "show", "-t", "prod", "-o", "json") == 0
    rows = {r["key"]: r for r in json.loads(capsys.readouterr().out)["settings"]}
    assert rows["app.name"] == {
        "key": "app.name",
        "value": "metamcp-prod",
        "origin": "metamcp.yaml:10 targets.prod.app.name",
    }


def test_check_tells_all_problems_and_fails(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "metamcp.yaml").write_text("app: {nme: x, name: X}\n")
    assert run("config", "check", "-o", "json") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "config_invalid"
    assert len(error["detail"].splitlines()) == 2
    (folder / "metamcp.yaml").write_text(TARGETS)
    monkeypatch.setenv("APP_NAME", "metamcp-dev")
    assert run("config", "check") == 0
    assert run("config", "check", "-t", "prod") == 1
    assert "targets.prod.app.name says `metamcp-prod`" in capsys.readouterr().err


def test_schema_is_one_json_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "metamcp.yaml"
