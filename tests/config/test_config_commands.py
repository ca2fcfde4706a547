"""`init` and `config ...` as a person or a pipeline runs them."""

import json
import os
from pathlib import Path

import pytest
import typer

from metamcp_deploy import events
from metamcp_deploy.cli import boundary
from metamcp_deploy.cli import config as commands
from metamcp_deploy.console import Console
from metamcp_deploy.errors import Code, DeployError
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


def checked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run("config", "check", *words)
    return code, capsys.readouterr().err


def test_check_has_nothing_to_say_where_nothing_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = checked(capsys)
    assert (code, "no such file" in said, "metamcp-deploy init" in said) == (1, True, True)
    assert checked(capsys, "-t", "local")[0] == 0  # a run of it needs none


@pytest.mark.parametrize("name", ["metamcp.yaml", ".env"])
@pytest.mark.parametrize("kind", ["dangling", "pipe"])
def test_check_names_files_that_cannot_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    if kind == "dangling":
        (folder / name).symlink_to(folder / "gone")
    else:
        os.mkfifo(folder / name)
    code, said = checked(capsys)
    assert (code, f"{folder / name} is " in said, "file_access" in said) == (1, True, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("upstream: {url: 'ext::sh -c x'}", "`upstream.url` uses `ext::`"),
        ("upstream: {url: ./gone}", "There is no folder"),
        ("upstream: {ref: '-x'}", "`upstream.ref` begins with `-`"),
        ("upstream: {ref: 'a..b'}", "is not a name that git allows"),
        ("network: {proxy: 'socks5://x:1'}", "network.proxy is no usable proxy URL"),
        ("network: {ca_bundle: ./gone.pem}", "network.ca_bundle names the certificates"),
        ("network: {npm_registry: nonsense}", "network.npm_registry is no usable registry URL"),
        ("database: {min_cu: 0.7, max_cu: 1}", "no compute has 0.7 CU"),
        ("database: {min_cu: 40, max_cu: 60}", "above 32 CU nothing scales"),
        ("database: {min_cu: 1, max_cu: 28}", "at most 16 are allowed"),
        ('app: {description: "a\\eb"}', "U+001B"),
        ('app: {env: {NAME: "a\\u202eb"}}', "U+202E"),
    ],
)
def test_check_looks_at_what_a_run_would_use(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (folder / "metamcp.yaml").write_text(f"version: 1\n{text}\n")
    code, shown = checked(capsys)
    assert (code, said in " ".join(shown.split())) == (1, True), shown


def test_check_counts_what_is_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "metamcp.yaml").write_text("version: 1\n")
    assert checked(capsys)[0] == 0
    assert checked(capsys, "--set", "app.nme=x")[0] == 2
    assert checked(capsys, "--set", "app.name=X")[0] == 1
    assert checked(capsys, "--set", "upstream.url=ext::x")[0] == 1
    assert checked(capsys, "--set", "app.contact=a\u202eb")[0] == 2


def test_a_folder_below_the_project_means_the_project(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "metamcp.yaml").write_text("version: 1\napp: {nme: x}\n")
    below = folder / "team" / "notes"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert "no such file" in checked(capsys)[1]  # no repository: nothing of a stranger's folder counts
    (folder / ".git").mkdir()
    assert "there is no such key" in checked(capsys)[1]
    (folder / "team" / ".git").mkdir()  # the root of another repository ends the search
    assert "no such file" in checked(capsys)[1]
    assert run("init") == 0
    assert (below / "metamcp.yaml").is_file()


def test_nothing_prints_a_raw_escape(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;owned\x07\x9b31m\u202e"
    console = Console("json")
    console.data({"name": evil})
    console.error(DeployError(Code.NOT_FOUND, f"no {evil}", hint=f"see {evil}", detail=evil))
    people = Console()
    people.table(["name"], [[evil]])
    people.rows([("name", evil, "")])
    people.data({}, f"name {evil}")
    people.say(evil)
    people.event(events.Changed("created", "app", evil))
    people.event(events.Warned(evil, evil))
    out, err = capsys.readouterr()
    assert not set("\x1b\x07\x9b\u202e") & set(out + err)
    assert json.JSONDecoder().raw_decode(out)[0] == {"name": evil}
