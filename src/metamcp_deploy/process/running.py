"""Running a program to its end: its output live, its silence noticed, its whole group ended when we are interrupted."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from metamcp_deploy import disk, events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.process.ending import end_group
from metamcp_deploy.process.environment import base_environment, identity
from metamcp_deploy.process.starting import missing

_KEPT_LINES = 200
_SHOWN_LINES = 20
_log = logging.getLogger(__name__)


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
        DeployError: TOOL_MISSING, PROCESS_SILENT, DEADLINE, DISK_FULL for the log's disk, or `code`. Its detail holds
            the last lines.
        KeyboardInterrupt: after the whole group was ended.
    """
    words = tuple(str(a) for a in argv)
    started = time.monotonic()
    _log.debug("$ %s", shlex.join(words))
    with ExitStack() as stack:
        lines = _Lines(stack, words, source, on_line, log)
        child = _spawn(words, cwd, env, stdin, user)
        pulse = _Pulse(started)
        try:
            readers = [
                _Reader(pipe.fileno(), lines.add, pulse) for pipe in (child.stdout, child.stderr) if pipe
            ]
            returncode = _wait(child, pulse, timeout, silence)
        except BaseException as e:
            end_group(child.pid)
            child.wait()
            if isinstance(e, _TooLongError):
                raise DeployError(
                    e.code, f"`{_short(words)}` {e}.", hint=hint, detail=lines.last(_KEPT_LINES)
                ) from None
            raise
        out, err = (reader.text() for reader in readers)
        for pipe in (child.stdout, child.stderr):
            if pipe:
                pipe.close()
    done = Completed(words, returncode, out, err, time.monotonic() - started)
    _log.debug("exit code %d after %.2f s", returncode, done.seconds)
    if check and returncode != 0:
        where = f" The whole output is in {log}." if log else ""
        message = f"`{_short(words)}` ended with exit code {returncode}.{where}"
        raise DeployError(code, message, hint=hint, detail=lines.last(_SHOWN_LINES))
    return done


class _Lines:
    """Where each line of output goes: events, a callback, a log file, and the memory for an error's detail."""

    def __init__(
        self,
        stack: ExitStack,
        words: Sequence[str],
        source: str | None,
        on_line: Callable[[str], None] | None,
        log: Path | None,
    ) -> None:
        self._source, self._on_line = source, on_line
        self._recent: deque[str] = deque(maxlen=_KEPT_LINES)
        self._lock = threading.Lock()
        self._file = stack.enter_context(_appended(log)) if log else None
        if self._file:
            self._file.write(f"$ {shlex.join(words)}\n")

    def add(self, line: str) -> None:
        with self._lock:
            self._recent.append(line)
            if self._file:
                self._file.write(line + "\n")
                self._file.flush()
        if self._source:
            events.emit(events.Output(self._source, line))
        if self._on_line:
            self._on_line(line)

    def last(self, count: int) -> str | None:
        return "\n".join(list(self._recent)[-count:]) or None


@contextmanager
def _appended(log: Path) -> Iterator[TextIO]:
    """The log, opened; an error of writing it, in the block or at its end, names it."""
    try:
        with log.open("a", encoding="utf-8") as file:
            yield file
    except OSError as e:
        raise disk.full(log) if disk.is_full(e) else e from None


class _Pulse:
    """When the program started and when it last gave a sign of life."""

    def __init__(self, started: float) -> None:
        self.started = self.last = started

    def beat(self) -> None:
        self.last = time.monotonic()


class _Reader:
    """Reads one pipe to its end in a thread, line by line (a carriage return ends a line too: progress bars)."""

    def __init__(self, pipe: int, on_line: Callable[[str], None], pulse: _Pulse) -> None:
        self._pipe, self._on_line, self._pulse = pipe, on_line, pulse
        self._chunks: list[bytes] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self._pipe, 65536):
            self._pulse.beat()
            self._chunks.append(chunk)
            *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                self._handed_on(line)
        if rest:
            self._handed_on(rest)

    def _handed_on(self, line: bytes) -> None:
        """After an error nothing is handed on, but the pipe is read on: the program must not wait for that."""
        if self._error is None:
            try:
                self._on_line(line.decode(errors="replace"))
            except Exception as e:
                self._error = e

    def text(self) -> str:
        """All of it, once the pipe has ended; raises what handing a line on raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return b"".join(self._chunks).decode(errors="replace")


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
            **identity(user),
        )
    except FileNotFoundError as e:
        raise missing(words[0], e) from e
    if stdin and child.stdin:
        with child.stdin as pipe:
            pipe.write(stdin)
    return child


def _wait(child: subprocess.Popen[bytes], pulse: _Pulse, timeout: float | None, silence: float | None) -> int:
    limited = timeout is not None or silence is not None
    while True:
        now = time.monotonic()
        if timeout is not None and now - pulse.started > timeout:
            raise _TooLongError(Code.DEADLINE, f"did not end within {timeout:g} s and was stopped")
        if silence is not None and now - pulse.last > silence:
            text = f"gave no sign of life for {silence:g} s and was stopped"
            raise _TooLongError(Code.PROCESS_SILENT, text)
        try:
            return child.wait(timeout=0.25 if limited else None)
        except subprocess.TimeoutExpired:
            continue
