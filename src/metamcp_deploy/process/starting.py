"""Starts programs that outlive the call: asynchronously, or as a daemon."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.process.environment import identity


def missing(program: str | Path, error: FileNotFoundError) -> DeployError:
    """The error for a program (or its working folder) that does not exist."""
    return DeployError(
        Code.TOOL_MISSING,
        f"`{program}` cannot be started: {error.strerror} ({error.filename}).",
        hint=f"Install {Path(program).name} or put it on PATH.",
    )


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
            **identity(user),
        )
    except FileNotFoundError as e:
        raise missing(argv[0], e) from e


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
            **identity(user),
        )
    # The daemon outlives this process on purpose: without this, Popen warns about it at exit.
    child.returncode = 0
    return child.pid
