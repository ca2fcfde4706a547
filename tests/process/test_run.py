import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from metamcp_deploy import events, process
from metamcp_deploy.errors import Code, DeployError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def ended(pid: int) -> bool:
    """Whether a process that is no child of ours is gone, or goes within two seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_output_is_kept_apart_and_each_line_told() -> None:
    seen: list[events.Event] = []
    code = "import sys; print('one'); print('two', file=sys.stderr); print('three', end='')"
    with events.listening(seen.append):
        done = process.run(python(code), source="tool")
    assert done.stdout.splitlines() == ["one", "three"]
    assert done.stderr.splitlines() == ["two"]
    told = [(e.source, e.line) for e in seen if isinstance(e, events.Output)]
    assert sorted(told) == [("tool", "one"), ("tool", "three"), ("tool", "two")]


def test_failure_names_command_code_and_log(tmp_path: Path) -> None:
    log = tmp_path / "tool.log"
    with pytest.raises(DeployError) as e:
        process.run(python("print('the reason'); raise SystemExit(7)"), log=log, code=Code.BUILD_FAILED)
    assert e.value.code is Code.BUILD_FAILED
    assert "exit code 7" in e.value.message
    assert str(log) in e.value.message
    assert e.value.detail == "the reason"
    assert "the reason" in log.read_text()


def test_missing_program_is_named() -> None:
    with pytest.raises(DeployError, match="no-such-program") as e:
        process.run(["no-such-program"])
    assert e.value.code is Code.TOOL_MISSING


def test_silence_ends_a_program_that_hangs_but_not_one_that_moves() -> None:
    moving = "import time\nfor _ in range(8): print('.', flush=True); time.sleep(0.1)"
    assert process.run(python(moving), silence=0.6).returncode == 0
    with pytest.raises(DeployError) as e:
        process.run(python("import time; time.sleep(60)"), silence=0.3)
    assert e.value.code is Code.PROCESS_SILENT


def test_the_callers_secrets_do_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTER_AUTH_SECRET", "marked-secret")
    monkeypatch.setenv("DATABRICKS_TOKEN", "marked-secret")
    done = process.run(python("import os; print(dict(os.environ))"))
    assert "marked-secret" not in done.stdout
    assert "PATH" in done.stdout


def test_it_cannot_wait_for_a_person() -> None:
    assert process.run(python("import sys; print(repr(sys.stdin.read()))")).stdout == "''\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process(tmp_path: Path, signum: signal.Signals) -> None:
    pids = tmp_path / "pids"
    child = f"import os,time; open({str(pids)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(60)"
    parent = f"import subprocess,sys; p=subprocess.Popen([sys.executable,'-c',{child!r}]); {child}"
    runner = (
        "import sys, signal; from metamcp_deploy import process\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        f"process.run([sys.executable, '-c', {parent!r}])"
    )
    tool = subprocess.Popen([sys.executable, "-c", runner], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(pids.read_text().split() if pids.exists() else []) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    tool.send_signal(signum)
    tool.wait(120)
    for pid in map(int, pids.read_text().split()):
        assert ended(pid), pid


def test_a_detached_program_writes_its_log_and_is_ended_as_a_group(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    code = "import time; print('up', flush=True); time.sleep(60)"
    pid = process.detach(python(code), cwd=tmp_path, env=process.base_environment(), log=log)
    deadline = time.monotonic() + 120
    while "up" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.end_group(pid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("output", ["x", "x\\n" * 200_000])
def test_a_full_disk_below_the_log_is_named_and_the_program_does_not_wait(
    output: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DeployError) as e:
        process.run(python(f"print('{output}')"), log=Path("/dev/full"))
    assert e.value.code is Code.DISK_FULL
    assert "/dev/full" in e.value.message
    assert "Traceback" not in capfd.readouterr().err


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_where_there_is_no_thread_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "pid"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    words = [sys.executable, "-c", code]
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    for start in (process.run, lambda w: process.Piped(w, cwd=None, env=process.base_environment())):
        with pytest.raises(RuntimeError, match="new thread"):
            start(words)
        assert not note.exists() or ended(int(note.read_text() or "0"))
