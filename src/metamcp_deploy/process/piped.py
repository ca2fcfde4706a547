"""A program whose pipes other code reads while it runs, such as a library that parses its output."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.process.ending import end_group
from metamcp_deploy.process.starting import missing

_ENDS_BY_ITSELF_SECONDS = 0.5


class Piped(subprocess.Popen[Any]):
    """A program in a process group of its own. `terminate` ends the whole group.

    Its standard error passes through here, so that all of it is at hand afterwards (`complaint`) and silence is
    noticed. A program that reads (`stdin`) has none: nobody would read it.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None,
        env: Mapping[str, str],
        stdin: bool = False,
        stdout: bool = True,
        text: bool = False,
        silence: float | None = None,
    ) -> None:
        """Starts it.

        Args:
            argv: program and arguments, no shell.
            cwd: its working folder.
            env: its whole environment.
            stdin: whether the caller writes to it.
            stdout: whether the caller reads its output.
            text: whether the caller reads text or bytes.
            silence: seconds that its standard error may go without a byte before it is ended.

        Raises:
            DeployError: TOOL_MISSING.
        """
        self.words = tuple(str(a) for a in argv)
        self._silence, self._was_silent = silence, False
        self._copied: list[bytes] = []
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        try:
            super().__init__(
                self.words,
                cwd=cwd,
                env=dict(env),
                stdin=pipe if stdin else nothing,
                stdout=pipe if stdout else nothing,
                stderr=nothing if stdin else pipe,
                start_new_session=True,
                text=text or None,
                encoding="utf-8" if text else None,
                errors="replace" if text else None,
            )
        except FileNotFoundError as e:
            raise missing(self.words[0], e) from e
        if self.stderr:
            source, (reading, writing) = self.stderr, os.pipe()
            self.stderr = (
                open(reading, encoding="utf-8", errors="replace") if text else open(reading, "rb")  # noqa: PTH123, SIM115
            )
            try:
                threading.Thread(target=self._copy, args=(source, writing), daemon=True).start()
            except RuntimeError:  # no thread to be had: nobody would read what it says
                end_group(self.pid)
                os.close(writing)
                raise

    @property
    def complaint(self) -> str:
        """What it has written on its standard error."""
        return b"".join(self._copied).decode(errors="replace")

    def finished(self) -> int:
        """Its exit code, once it has ended.

        Raises:
            DeployError: PROCESS_SILENT.
        """
        status = self.wait()
        if self._was_silent:
            raise DeployError(
                Code.PROCESS_SILENT,
                f"`{shlex.join(self.words)}` gave no sign of life for {self._silence:g} s and was stopped.",
                hint="Run the command above by hand to see more.",
                detail=self.complaint or None,
            )
        return status

    def terminate(self) -> None:
        """Ends it and all that it started in its group; one that ends with its input is given the time."""
        if self.stdin and self.stdin.closed:
            with suppress(subprocess.TimeoutExpired):
                self.wait(_ENDS_BY_ITSELF_SECONDS)
        if self.poll() is None:
            end_group(self.pid)
            self.returncode = self.poll() or -signal.SIGTERM

    kill = terminate

    def _copy(self, source: IO[Any], writing: int) -> None:
        """Hands on what comes on standard error; the reader sees its end after the silent program was ended."""
        with source, open(writing, "wb", buffering=0) as target:
            while chunk := self._chunk(source.fileno()):
                self._copied.append(chunk)
                with suppress(BrokenPipeError):
                    target.write(chunk)

    def _chunk(self, pipe: int) -> bytes:
        readable, _, _ = select.select([pipe], [], [], self._silence)
        if readable:
            return os.read(pipe, 65536)
        self._was_silent = True
        self.terminate()
        return b""
