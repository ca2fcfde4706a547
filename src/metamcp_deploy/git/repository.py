"""GitPython's repositories, with each of its commands run by `process` in an environment of `environments`.

As it comes, the library starts git with the whole environment of the caller, secrets included, in the caller's process
group, with no limit on silence. `Commands` takes the place of its command wrapper: every command goes through it, those
of its object reader too.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from metamcp_deploy import process
from metamcp_deploy.git import environments


@contextmanager
def _environ(**values: str | None) -> Iterator[None]:
    """Sets or (None) removes variables of this process for a moment."""
    before = {name: os.environ.get(name) for name in values}
    try:
        for name, value in values.items():
            _put(name, value)
        yield
    finally:
        for name, value in before.items():
            _put(name, value)


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


# As it is imported, the library runs `git version` with the caller's environment: a program that cannot be started
# keeps it from that. `Commands` names the program itself.
with _environ(GIT_PYTHON_GIT_EXECUTABLE=os.devnull, GIT_PYTHON_REFRESH="quiet"):
    import git
    from git.util import RemoteProgress

__all__ = ["UNREADABLE", "Commands", "FailedError", "Remote", "RemoteProgress", "Repository"]

Remote = git.Remote
UNREADABLE = (git.GitError, git.ODBError, ValueError, FileNotFoundError, NotADirectoryError)
"""What the library raises for a repository that is damaged or not there."""

_PROGRESS = re.compile(r"^(remote: )?[A-Z][A-Za-z ]+: +(\d+%|\d+, done|done)")
_TRACE = re.compile(r"^\d\d:\d\d:\d\d\.\d+ .*\bpacket: ")
# These would make the library take another repository than the one that a path names.
_MISLEADING = frozenset({"GIT_DIR", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE"})


class FailedError(git.GitCommandError):
    """A git command that ended with another exit code than 0."""

    def __init__(self, words: Sequence[str], status: int, stderr: str) -> None:
        super().__init__(list(words), status, stderr)
        self.command_line, self.returncode = shlex.join(words), status
        self.complaint = _complaint(stderr)
        """What git wrote on its standard error, without the lines that only show progress."""


class _Running(git.Git.AutoInterrupt):
    """A command whose pipes the library reads."""

    proc: process.Piped | None

    def wait(self, stderr: str | bytes | None = b"") -> int:
        """Waits for its end; the library's own `stderr` lacks most lines.

        Raises:
            DeployError: PROCESS_SILENT.
            FailedError: for an exit code that is not 0.
        """
        if self.proc is None:  # ended by us
            return int(self.status or 0)
        status = self.proc.finished()
        if status != 0:
            raise FailedError(self.proc.words, status, self.proc.complaint)
        return status


class Commands(git.Git):
    """Runs git in one environment. Arguments as the library gives them.

    Attributes:
        env: the whole environment; by default without anybody's configuration.
        silence: seconds that a command may go without a byte of output.
    """

    env: Mapping[str, str]
    silence: float | None

    def __init__(self, working_dir: str | os.PathLike[str] | None = None) -> None:
        super().__init__(
            None if working_dir is None else Path(working_dir)
        )  # a text would have its `$` expanded
        self.env, self.silence = environments.local(), None
        self._started: list[process.Piped] = []

    def execute(  # type: ignore[override]  # one signature in place of the library's overloads
        self,
        command: Sequence[str],
        istream: int | None = None,
        *,
        with_extended_output: bool = False,
        with_exceptions: bool = True,
        as_process: bool = False,
        with_stdout: bool = True,
        universal_newlines: bool = False,
        strip_newline_in_stdout: bool = True,
        env: Mapping[str, str] | None = None,
        **_: Any,
    ) -> Any:
        """Runs a command, `command[0]` aside.

        Raises:
            DeployError: TOOL_MISSING, PROCESS_SILENT.
            FailedError: unless `with_exceptions` is false.
        """
        environment = {**self.env, **self.environment(), **(env or {})}
        words = [*environments.program(environment), *command[1:]]
        cwd = Path(self.working_dir) if self.working_dir else None
        if as_process:
            piped = process.Piped(
                words,
                cwd=cwd,
                env=environment,
                stdin=istream is not None,
                stdout=with_stdout,
                text=universal_newlines,
                silence=self.silence,
            )
            self._started.append(piped)
            return _Running(piped, command)
        done = process.run(words, cwd=cwd, env=environment, silence=self.silence, check=False)
        if done.returncode != 0 and with_exceptions:
            raise FailedError(done.argv, done.returncode, done.stderr)
        out = done.stdout.removesuffix("\n") if strip_newline_in_stdout else done.stdout
        return (done.returncode, out, done.stderr) if with_extended_output else out

    @contextmanager
    def ended(self) -> Iterator[None]:
        """When the block fails or is interrupted, what it started has ended before anything else is done."""
        try:
            yield
        except BaseException:
            for piped in self._started:
                if piped.poll() is None:
                    piped.terminate()
            raise


class Repository(git.Repo):
    """A repository; use it in `with`, which ends its object reader."""

    GitCommandWrapperType = Commands
    git: Commands

    def __init__(
        self, path: str | os.PathLike[str], *, search_parent_directories: bool = False, **_: object
    ) -> None:
        with _environ(**dict.fromkeys(_MISLEADING & os.environ.keys())):
            super().__init__(path, search_parent_directories=search_parent_directories, expand_vars=False)

    def __enter__(self) -> Self:
        return self


def _complaint(stderr: str) -> str:
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", stderr)]
    return "\n".join(line for line in lines if line and not (_PROGRESS.match(line) or _TRACE.match(line)))
