"""The one place that starts programs: `run` waits, `start` is asynchronous, `detach` leaves a daemon behind.

A program gets the environment it is given and nothing else; `base_environment` is what most of them need. None of the
caller's secrets are in it.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError

_PASSED = frozenset(
    "PATH HOME USER LOGNAME SHELL LANG TZ TERM TMPDIR SSH_AUTH_SOCK SSL_CERT_FILE SSL_CERT_DIR".split()
)
_PASSED_PREFIXES = ("LC_", "XDG_")
_KEPT_LINES = 200
_GRACE_SECONDS = 5.0


def base_environment(*also: str, **extra: str) -> dict[str, str]:
    """The caller's environment cut down to what programs in general need.

    Args:
        also: further names to pass on when they are set.
        extra: values to add.
    """
    passed = {
        k: v for k, v in os.environ.items() if k in _PASSED or k in also or k.startswith(_PASSED_PREFIXES)
    }
    return {**passed, **extra}


def find(program: str, path: str | None = None) -> Path | None:
    """The program's absolute path on PATH (or on `path`), or None."""
    found = shutil.which(program, path=path)
    return Path(found) if found else None


@dataclass(frozen=True)
class Completed:
    """A program that ended: its exit code, all of its output, and how long it took in seconds."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def command(self) -> str:
        """The command line as one could type it."""
        return shlex.join(self.argv)


@dataclass
class _Reader:
    """Reads one pipe to its end in a thread, line by line (`\\r` ends a line too: progress bars)."""

    pipe: int
    on_line: Callable[[str], None] | None
    touched: Callable[[], None]

    def __post_init__(self) -> None:
        self.chunks: list[bytes] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self.pipe, 65536):
            self.touched()
            self.chunks.append(chunk)
            *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            if self.on_line:
                for line in lines:
                    self.on_line(line.decode(errors="replace"))
        if rest and self.on_line:
            self.on_line(rest.decode(errors="replace"))

    def text(self) -> str:
        self.thread.join()
        return b"".join(self.chunks).decode(errors="replace")


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float | None = None,
    silence: float | None = None,
    on_line: Callable[[str], None] | None = None,
    source: str | None = None,
    log: Path | None = None,
    check: bool = True,
    user: str | None = None,
    code: Code = Code.PROCESS_FAILED,
    hint: str = "Run the command above by hand to see more.",
) -> Completed:
    """Runs a program in a process group of its own and waits for it.

    Args:
        argv: program and arguments; no shell, no secrets (other users can read them).
        cwd: its working folder.
        env: its whole environment; `base_environment()` when None.
        stdin: what it reads; by default nothing, so that it can never wait for a person.
        timeout: seconds it may take in all.
        silence: seconds it may go without a byte of output before it is ended (Code.PROCESS_SILENT).
        on_line: called with each line of either stream, in reader threads.
        source: emit each line as `events.Output` under this name.
        log: append the command and each line to this file.
        check: raise when the exit code is not 0.
        user: run as this system user and its group (only root can).
        code: of that error.
        hint: of that error.

    Raises:
        DeployError: TOOL_MISSING, PROCESS_SILENT, DEADLINE, or `code`. Its detail holds the last lines.
        KeyboardInterrupt: after the whole group was ended.
    """
    words = tuple(str(a) for a in argv)
    started = time.monotonic()
    last = started

    def touched() -> None:
        nonlocal last
        last = time.monotonic()

    recent: deque[str] = deque(maxlen=_KEPT_LINES)
    sink = log.open("a", encoding="utf-8") if log else None
    lock = threading.Lock()

    def line_seen(line: str) -> None:
        with lock:
            recent.append(line)
            if sink:
                sink.write(line + "\n")
                sink.flush()
        if source:
            events.emit(events.Output(source, line))
        if on_line:
            on_line(line)

    if sink:
        sink.write(f"$ {shlex.join(words)}\n")
    try:
        child = _spawn(words, cwd, env, stdin, user)
        readers = [_Reader(p.fileno(), line_seen, touched) for p in (child.stdout, child.stderr) if p]
        try:
            returncode = _wait(child, started, timeout, silence, lambda: last)
        except _TooLongError as e:
            end_group(child.pid)
            child.wait()
            raise DeployError(
                e.code, f"`{_short(words)}` {e}.", hint=hint, detail="\n".join(recent) or None
            ) from None
        except BaseException:
            end_group(child.pid)
            child.wait()
            raise
        out, err = (r.text() for r in readers)
        for pipe in (child.stdout, child.stderr):
            if pipe:
                pipe.close()
    finally:
        if sink:
            sink.close()
    done = Completed(words, returncode, out, err, time.monotonic() - started)
    if check and returncode != 0:
        where = f" The whole output is in {log}." if log else ""
        raise DeployError(
            code,
            f"`{_short(words)}` ended with exit code {returncode}.{where}",
            hint=hint,
            detail="\n".join(list(recent)[-20:]) or None,
        )
    return done


class _TooLongError(Exception):
    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


def _short(words: Sequence[str]) -> str:
    text = shlex.join(words)
    return text if len(text) <= 160 else text[:157] + "..."


def _spawn(
    words: tuple[str, ...], cwd: Path | None, env: Mapping[str, str] | None, stdin: bytes, user: str | None
) -> subprocess.Popen[bytes]:
    try:
        child = subprocess.Popen(
            words,
            cwd=cwd,
            env=dict(base_environment() if env is None else env),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **_identity(user),
        )
    except FileNotFoundError as e:
        raise DeployError(
            Code.TOOL_MISSING,
            f"`{words[0]}` cannot be started: {e.strerror} ({e.filename}).",
            hint=f"Install {Path(words[0]).name} or put it on PATH.",
        ) from e
    if stdin and child.stdin:
        with child.stdin as pipe:
            pipe.write(stdin)
    return child


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _identity(user: str | None) -> _Identity:
    """What a child runs as: Popen's `user` alone would leave it root's groups."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _wait(
    child: subprocess.Popen[bytes],
    started: float,
    timeout: float | None,
    silence: float | None,
    last: Callable[[], float],
) -> int:
    while True:
        now = time.monotonic()
        if timeout is not None and now - started > timeout:
            raise _TooLongError(Code.DEADLINE, f"did not end within {timeout:g} s and was stopped")
        if silence is not None and now - last() > silence:
            raise _TooLongError(
                Code.PROCESS_SILENT, f"gave no sign of life for {silence:g} s and was stopped"
            )
        limited = timeout is not None or silence is not None
        try:
            return child.wait(timeout=0.25 if limited else None)
        except subprocess.TimeoutExpired:
            continue


def end_group(pid: int, grace: float = _GRACE_SECONDS) -> None:
    """Ends a process group that `run` or `detach` started: SIGTERM, then SIGKILL after `grace` seconds."""
    for signum, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 1.0)):
        try:
            os.killpg(pid, signum)
        except (ProcessLookupError, PermissionError):
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass  # somebody else's child, or waited for already; killpg below tells whether it is gone
            try:
                os.killpg(pid, 0)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.02)


async def start(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: int = asyncio.subprocess.PIPE,
    stderr: int = asyncio.subprocess.PIPE,
    user: str | None = None,
) -> asyncio.subprocess.Process:
    """Starts a program in a session of its own, from asyncio. The caller reads its pipes and ends it.

    Args:
        argv: program and arguments, no shell.
        cwd: its working folder.
        env: its whole environment.
        stdout: as in asyncio.create_subprocess_exec.
        stderr: as in asyncio.create_subprocess_exec.
        user: run as this system user (only root can).

    Raises:
        DeployError: TOOL_MISSING when the program does not exist.
    """
    try:
        return await asyncio.create_subprocess_exec(
            *(str(a) for a in argv),
            cwd=cwd,
            env=dict(env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            **_identity(user),
        )
    except FileNotFoundError as e:
        raise DeployError(
            Code.TOOL_MISSING,
            f"`{argv[0]}` cannot be started: {e.strerror} ({e.filename}).",
            hint=f"Install {Path(argv[0]).name} or put it on PATH.",
        ) from e


def detach(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    user: str | None = None,
) -> int:
    """Starts a daemon in a session of its own, its output appended to `log`; returns its process id."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            [str(a) for a in argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            **_identity(user),
        )
    # The daemon outlives this process on purpose: without this, Popen warns about it at exit.
    child.returncode = 0
    return child.pid
