import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from metamcp_deploy.cli import boundary, options
from metamcp_deploy.errors import Code, DeployError


@pytest.fixture(autouse=True)
def fresh_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "current", options.Run())


def failing(error: BaseException, *, output: str = "text", argv: tuple[str, ...] = ()) -> int:
    options.current = options.Run(output=options.Format(output))

    def command() -> None:
        raise error

    return boundary.guarded(command, argv)


EXPECTED = DeployError(Code.REF_UNKNOWN, "no [tag] v9", hint="Pick one.", detail="seen: v1\nv2")


def test_an_expected_failure_is_worded_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(EXPECTED) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no [tag] v9" in err
    assert "ref_unknown" in err
    assert "Next: Pick one." in err
    assert "│ v2" in err


def test_json_output_gives_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(EXPECTED, output="json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "error": {
            "code": "ref_unknown",
            "message": "no [tag] v9",
            "hint": "Pick one.",
            "detail": "seen: v1\nv2",
        }
    }


def test_an_interruption_ends_with_130_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(KeyboardInterrupt()) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_leaves_its_traceback_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(ZeroDivisionError("surprise"), argv=("deploy", "-t", "dev")) == 3
    err = capsys.readouterr().err
    assert "Traceback" not in err
    path = Path(next(word for word in err.split() if word.endswith(".log")))
    assert "ZeroDivisionError: surprise" in path.read_text()
    assert "metamcp-deploy deploy -t dev" in path.read_text()


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk_full"), (errno.EACCES, "file_access"), (errno.EROFS, "file_access")],
)
def test_the_machines_own_failures_are_expected(
    capsys: pytest.CaptureFixture[str], number: int, code: str
) -> None:
    assert failing(OSError(number, "the system says no", "/some/file")) == 1
    err = capsys.readouterr().err
    assert code in err
    assert "/some/file" in err


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "metamcp_deploy", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_usage_errors_exit_with_2_as_text_and_as_json(folder: Path) -> None:
    text = command("deploy", "--no-such-option", folder=folder)
    assert text.returncode == 2
    assert "--no-such-option" in text.stderr
    assert text.stdout == ""
    as_json = command("deploy", "-o", "json", "--no-such-option", folder=folder)
    assert as_json.returncode == 2
    assert json.loads(as_json.stdout)["error"]["code"] == "usage"


def test_an_unknown_command_is_usage(folder: Path) -> None:
    done = command("deplyo", folder=folder)
    assert done.returncode == 2
    assert "deploy" in done.stderr


HEAVY = (
    "databricks.sdk",
    "git",
    "jinja2",
    "pydantic",
    "requests",
    "httpx",
    "aiohttp",
    "websockets",
    "yaml",
    "sqlglot",
)


# typer itself loads pydantic as soon as a subcommand's words are parsed; nothing of ours does.
CASES = [(["--help"], HEAVY), (["--version"], HEAVY)] + [
    ([*words, "--help"], tuple(m for m in HEAVY if m != "pydantic"))
    for words in (["deploy"], ["local"], ["local", "up"], ["config", "show"], ["logs"])
]


@pytest.mark.parametrize(("words", "heavy"), CASES, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_help_loads_nothing_heavy(folder: Path, words: list[str], heavy: tuple[str, ...]) -> None:
    code = (
        "import sys; from metamcp_deploy.cli import main\n"
        f"sys.argv = ['metamcp-deploy', *{words!r}]\n"
        "try: main()\n"
        f"finally: print('LOADED', [m for m in {heavy!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, timeout=60
    )
    assert done.returncode == 0
    assert "LOADED []" in done.stderr
