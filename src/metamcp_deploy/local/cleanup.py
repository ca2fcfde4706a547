"""Ending a workspace's daemon, and what one that was killed left: light until there is something to end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

STOP_SECONDS = 60.0  # apps have 15 s each, all at once, and Postgres the rest


def end_rest(folder: Path) -> bool:
    """Ends what a killed or hanging workspace left: its daemon, apps' processes, Postgres. Whether there was any."""
    from metamcp_deploy.local.apps import process_ledger
    from metamcp_deploy.postgres import Cluster

    found = False
    for pid in daemons(folder):
        end(pid, patience=5.0)
        found = True
    found = process_ledger.clean(folder / "processes.json", folder / "apps") > 0 or found
    if (folder / "postgres").exists():
        cluster = Cluster(folder / "postgres")
        found = cluster.running() or found
        cluster.stop()
    (folder / "workspace.json").unlink(missing_ok=True)
    return found


def daemons(folder: Path) -> list[int]:
    """Process ids of servers on this state folder."""
    import psutil

    found = []
    for running_process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = running_process.cmdline()
            if "metamcp_deploy.local.server" in words and str(folder) in words:
                found.append(running_process.pid)
    return found


def end(pid: int, patience: float = STOP_SECONDS) -> None:
    """SIGTERM, then SIGKILL; returns when the daemon is gone."""
    for signum, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if gone(pid):
                return
            time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a daemon has ended, be it a child of this process or not."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
