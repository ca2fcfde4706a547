"""A cluster's past: a copy of its data from before a start, everything written since, and so each moment in between.

PostgreSQL's own point-in-time recovery, without an archive: `wal_keep_size` keeps the write-ahead log where it is.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

from metamcp_deploy.postgres.place import Place

SETTINGS = {"wal_keep_size": "1GB"}  # what may be written between two starts, or the past is lost
_NEW_BASE_SEGMENTS = 24  # of 16 MB, written since the copy: then the next start makes a new one
_SHUT_DOWN = 1  # DBState in pg_control, PostgreSQL 16, src/include/catalog/pg_control.h


def keep(place: Place) -> None:
    """Makes the copy before a start, when there is none or the log since has become long. The server must not run."""
    if not _shut_down(place.data):
        return  # after a crash the data need their log first: at the next start, then
    base, note = _base(place), _note(place)
    if base.is_dir() and note and len(_segments(place.data, since=note["segment"])) < _NEW_BASE_SEGMENTS:
        return
    fresh = base.with_name("base.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(base, ignore_errors=True)
    _copy(place, place.data, fresh)
    newest = max(_segments(place.data), default="")
    (place.home / "history.json").write_text(
        json.dumps({"began": time.time(), "segment": newest}), encoding="utf-8"
    )
    fresh.rename(base)


def began(place: Place) -> float | None:
    """Since when the past is known, in seconds since the epoch; None without one."""
    note = _note(place)
    return float(note["began"]) if note and _base(place).is_dir() else None


def restore(place: Place, past: Place, *, at: float | None = None, lsn: str | None = None) -> None:
    """Puts data into `past` that, once started, hold what those of `place` held at a moment.

    Args:
        place: of a cluster that runs, with something committed after that moment: else it is not known to be over.
        past: of a cluster that has no data.
        at: seconds since the epoch; what was committed by then counts.
        lsn: instead, a position in the log (`0/1A2B3C4`).
    """
    past.prepare()
    shutil.copy(place.home / "password", past.home / "password")  # it is in the data, too
    _copy(place, _base(place), past.data)
    # In a shell, by the server, which replaces %f and %p.
    fetch = f"cp {shlex.quote(str(place.data / 'pg_wal')).replace('%', '%%')}/%f %p"
    settings = {
        "restore_command": fetch,
        "hot_standby": "off",  # or it would be ready for readers before it is at its moment
        "recovery_target_action": "promote",
        "recovery_target_timeline": "current",
        **({"recovery_target_lsn": lsn} if lsn else {"recovery_target_time": _time(at or time.time())}),
    }
    lines = "".join("{} = '{}'\n".format(k, v.replace("'", "''")) for k, v in settings.items())
    _write(past, "postgresql.auto.conf", lines)
    _write(past, "recovery.signal", "")


def _base(place: Place) -> Path:
    return place.data.with_name("base")


def _note(place: Place) -> dict[str, str] | None:
    try:
        found: dict[str, str] = json.loads((place.home / "history.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found


def _shut_down(data: Path) -> bool:
    head = (data / "global" / "pg_control").read_bytes()[:20]
    state: int = struct.unpack("=QIII", head)[3]
    return state == _SHUT_DOWN


def _segments(data: Path, since: str = "") -> list[str]:
    """Names of the log's segments, which grow; 24 hex digits."""
    names = (p.name for p in (data / "pg_wal").iterdir())
    return [n for n in names if len(n) == 24 and n > since]


def _copy(place: Place, source: Path, target: Path) -> None:
    """All but the log."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [n for n in names if n != "archive_status"] if Path(folder) == source / "pg_wal" else []

    # Only what is in the files: half the time, and PostgreSQL looks at the folder's mode alone.
    shutil.copytree(source, target, symlinks=True, ignore=left_out, copy_function=shutil.copyfile)
    if place.user is not None:
        for folder, _, files in os.walk(target):
            for name in ("", *files):
                place.give(Path(folder, name))


def _write(place: Place, name: str, text: str) -> None:
    path = place.data / name
    path.write_text(text, encoding="utf-8")
    place.give(path)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ")
