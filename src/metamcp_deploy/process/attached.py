"""Runs a program with this terminal: its input and output are ours, and so is Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from metamcp_deploy.process.starting import missing


def attached(argv: Sequence[str | Path], env: Mapping[str, str]) -> int:
    """Waits for the program; its exit code, 128 and the signal's number for one that was ended by one.

    Ctrl-C is the program's alone meanwhile: a client uses it to cancel a query.

    Args:
        argv: program and arguments; no shell, no secrets.
        env: its whole environment.

    Raises:
        DeployError: TOOL_MISSING.
    """
    # A function, as a program would inherit that a signal is ignored.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        child = subprocess.Popen([str(word) for word in argv], env=dict(env))
        code = child.wait()
    except FileNotFoundError as e:
        raise missing(argv[0], e) from e
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code
