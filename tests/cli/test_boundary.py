import errno
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from metamcp_deploy.cli import boundary, options
from metamcp_deploy.errors import Code, DeployError
from tests import commands


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


def test_a_refused_use_is_usage_wherever_it_is_raised() -> None:
    assert failing(DeployError(Code.USAGE, "needs your word", hint="Say it.")) == 2


def test_what_an_interrupt_is_made_into_is_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    """A library may turn it into a failure of its own, or a program that got it as well may fail."""

    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt as e:
            raise DeployError(Code.TOOL_MISSING, "git does not start.", hint="Install it.") from e

    before = [(signum, signal.getsignal(signum)) for signum in (signal.SIGINT, signal.SIGTERM)]
    try:
        boundary.obey_signals()
        assert boundary.guarded(command, []) == 130
    finally:
        for signum, handler in before:
            signal.signal(signum, handler)
    assert "Interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("status", "-o", "jsno"), ("config", "show", "--set", "nonsense")])
def test_words_that_mean_nothing_are_usage(folder: Path, words: tuple[str, ...]) -> None:
    assert command(*words, folder=folder).returncode == 2


def test_an_error_of_a_stream_is_one_object_on_a_line(folder: Path) -> None:
    out = command("logs", "-o", "json", folder=folder).stdout
    assert [json.loads(line)["error"]["code"] for line in out.splitlines()] == ["not_deployed"]


def test_an_interruption_ends_with_130_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(KeyboardInterrupt()) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), BlockingIOError(11, "no more processes"), MemoryError()]
)
def test_a_machine_without_room_is_no_bug(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    assert failing(error) == 1
    err = capsys.readouterr().err
    assert "machine_exhausted" in err
    assert "ulimit -u" in err


def test_a_full_disk_that_the_system_does_not_name_is_looked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A write that fails has no file name."""
    monkeypatch.setenv("METAMCP_CACHE_DIR", str(tmp_path / "cache"))
    real = shutil.disk_usage

    def usage(path: Path) -> object:
        return real(path)._replace(free=0) if Path(path) == tmp_path else real(path)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert failing(OSError(errno.ENOSPC, "No space left on device")) == 1
    assert f"The disk that holds {tmp_path / 'cache'} is full" in " ".join(capsys.readouterr().err.split())


def test_a_report_of_a_bug_is_private_and_holds_no_credentials(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "https://user:swordfish@proxy.example.com"
    assert failing(ValueError(f"no way to {url}"), argv=("deploy", "--set", f"network.proxy={url}")) == 3
    err = capsys.readouterr().err
    path = Path(next(word for word in err.split() if word.endswith(".log")))
    assert "swordfish" not in err + path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_a_bug_is_told_even_where_the_cache_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("METAMCP_CACHE_DIR", "/proc/no-such-folder")
    monkeypatch.setattr(boundary.tempfile, "gettempdir", lambda: str(tmp_path))
    assert failing(ZeroDivisionError("surprise")) == 3
    assert str(tmp_path) in capsys.readouterr().err
    monkeypatch.setattr(boundary.tempfile, "gettempdir", lambda: "/proc/no-such-folder")
    assert failing(ZeroDivisionError("surprise")) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_leaves_its_traceback_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(ZeroDivisionError("surprise"), argv=("deploy", "-t", "dev")) == 3
    err = capsys.readouterr().err
    assert "Traceback" not in err
    path = Path(next(word for word in err.split() if word.endswith(".log")))
    assert "ZeroDivisionError: surprise" in path.read_text()
    assert "metamcp-deploy deploy -t dev" in path.read_text()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk_full"),
        *((e, "file_access") for e in (errno.EACCES, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)),
    ],
)
def test_the_machines_own_failures_are_expected(
    capsys: pytest.CaptureFixture[str], number: int, code: str
) -> None:
    assert failing(OSError(number, "the system says no", "/some/file")) == 1
    err = capsys.readouterr().err
    assert code in err
    assert "/some/file" in err


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return commands.run(*words, folder=folder)


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


def interrupted(folder: Path, *words: str) -> tuple[int, str, str]:
    """What a command tells when Ctrl-C meets it while it waits for a server that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/upstream.git"
        child = subprocess.Popen(
            [sys.executable, "-m", "metamcp_deploy", "prepare", "--url", url, *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        silent.settimeout(60)
        held, _ = silent.accept()
        with held:
            os.killpg(child.pid, signal.SIGINT)
            out, err = child.communicate(timeout=120)
    return child.returncode, out, err


def test_ctrl_c_is_told_to_people_and_to_programs(folder: Path) -> None:
    code, out, err = interrupted(folder)
    assert (code, out) == (130, ""), err
    assert "Run the same command again" in err
    code, out, _ = interrupted(folder, "-o", "json")
    assert code == 130
    assert json.loads(out)["error"]["code"] == "interrupted"
    code, out, err = interrupted(folder, "--log-format", "json")
    assert (code, out) == (130, "")
    assert [json.loads(line)["event"] for line in err.splitlines()][-1] == "error"


@pytest.mark.parametrize("words", [("--help",), ("config", "schema"), ("config", "show")])
@pytest.mark.parametrize("redirection", ["| true", ">&-", "2>&-", "2>&1 | true"])
def test_a_reader_that_has_gone_is_no_failure(folder: Path, words: tuple[str, ...], redirection: str) -> None:
    line = shlex.join([sys.executable, "-m", "metamcp_deploy", *words])
    script = f"set -o pipefail; {line} {redirection}"
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_where_a_folder_belongs(folder: Path) -> None:
    (folder / "build").write_text("in the way")
    done = command("prepare", "--url", str(folder), folder=folder)
    assert done.returncode == 1
    assert f"{folder}/build cannot be used: File exists" in done.stderr
    assert (folder / "build").read_text() == "in the way"


def test_a_demo_is_of_this_machine_alone(folder: Path) -> None:
    done = command("demo", "-t", "dev", "-o", "json", folder=folder)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"


HEAVY = (
    "psycopg",
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
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, timeout=120
    )
    assert done.returncode == 0
    assert "LOADED []" in done.stderr
