"""The running server of one data folder: found by `postmaster.pid`, trusted only when the process works in that folder.

After kill -9 the file stays, and its number may by then be some other program's: nothing is signalled that does not
have the data folder as its working folder, which every PostgreSQL process has.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy import process
from metamcp_deploy.postgres import sockets
from metamcp_deploy.process import search

_PROGRAM = "postgres"

_FAST_SECONDS = 10.0
_IMMEDIATE_SECONDS = 8.0  # the server itself kills what ignores it after 5


@dataclass(frozen=True)
class Postmaster:
    """What `postmaster.pid` says.

    Its lines: pid, data folder, start time, port, socket folder, address, shared memory key, status.
    """

    pid: int
    socket_folder: Path | None
    ready: bool


def recorded(data: Path) -> Postmaster | None:
    """The content of postmaster.pid, whether or not that server lives; None without a (whole) file."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        folder = Path(lines[4]) if len(lines) > 4 and lines[4] else None
        return Postmaster(int(lines[0]), folder, len(lines) > 7 and lines[7].strip() == "ready")
    except (OSError, ValueError, IndexError):
        return None


def living(data: Path) -> Postmaster | None:
    """The server that runs on this data folder, or None."""
    found = recorded(data)
    return found if found and _works_in(found.pid, data) else None


def stop(data: Path) -> None:
    """Ends the server: fast, then immediate, then by force. Returns when no process of it is left."""
    server = living(data)
    if server:
        for signum, seconds in ((signal.SIGINT, _FAST_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SECONDS)):
            if process.end(server.pid, signum, seconds) or not _works_in(server.pid, data):
                break
    clear(data, server)


def clear(data: Path, ended: Postmaster | None = None) -> None:
    """Removes what a killed server left: processes in the data folder, the socket folder, postmaster.pid.

    Args:
        data: the data folder.
        ended: the server that ended just now, when postmaster.pid may be gone already.
    """
    process.kill(search.working_in(data, _PROGRAM))
    server = ended or recorded(data)
    if server is None:
        return
    with suppress(ChildProcessError):  # started by this process: until it is waited for, its number is taken
        os.waitpid(server.pid, os.WNOHANG)
    # PostgreSQL would refuse to start if another program of its user had that number by now.
    (data / "postmaster.pid").unlink(missing_ok=True)
    folder = server.socket_folder
    if folder and folder.name.startswith(sockets.PREFIX) and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)


def _works_in(pid: int, data: Path) -> bool:
    return search.works_in(pid, data, _PROGRAM)
