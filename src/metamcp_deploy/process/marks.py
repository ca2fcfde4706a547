"""Programs known by a variable of their environment: they may have left every group and session they began in."""

from __future__ import annotations

from pathlib import Path


def marked(name: str, value: str) -> list[int]:
    """Ids of the programs whose environment holds `name` with this value.

    What has ended does not count, even before anybody waited for it. Where the system has no /proc, none is found.
    """
    mark = f"{name}={value}".encode()
    return [int(p.name) for p in Path("/proc").glob("[0-9]*") if mark in _environment(p)]


def _environment(program: Path) -> list[bytes]:
    try:
        return (program / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it has ended, or is somebody else's
