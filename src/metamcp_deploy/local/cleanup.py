"""Ends a workspace's daemon, and what a killed one left running. Imports little until there is something to end."""

from __future__ import annotations

import signal
from pathlib import Path

from metamcp_deploy import process
from metamcp_deploy.process import search

STOP_SECONDS = 60.0  # apps have 15 s each, all at once, and Postgres the rest


def end_rest(folder: Path) -> bool:
    """Ends what a killed or hanging workspace left: daemon, processes of apps, Postgres; whether there was any."""
    from metamcp_deploy.local.apps import process_ledger
    from metamcp_deploy.postgres import Cluster

    found = False
    # One that does not answer although its state is there hangs. One whose state was deleted is about to end by itself,
    # and only it knows all processes of its apps.
    patience = 5.0 if (folder / "workspace.json").exists() else STOP_SECONDS
    for pid in daemons(folder):
        end(pid, patience)
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
    return search.with_words("metamcp_deploy.local.server", str(folder))


def end(pid: int, patience: float = STOP_SECONDS) -> None:
    """SIGTERM, then SIGKILL; returns when the daemon has ended."""
    _ = process.end(pid, signal.SIGTERM, patience) or process.end(pid, signal.SIGKILL, 5.0)
