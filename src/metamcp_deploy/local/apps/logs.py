"""An app's log as the platform keeps it: lines with a source and a time, replayed to whoever opens the stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_KEPT_LINES = 20_000
_FILE_BYTES = 20_000_000
_WAITING_LINES = 50_000


@dataclass(frozen=True)
class Line:
    """One line: `source` is APP (what the app printed) or SYSTEM (what the platform says)."""

    source: str
    timestamp: float
    message: str

    def frame(self) -> str:
        """As the stream sends it."""
        return json.dumps({"source": self.source, "timestamp": self.timestamp, "message": self.message})


class Log:
    """One app's lines: the last ones in memory, all of them in a file."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.clock = clock
        self.lines: deque[Line] = deque(maxlen=_KEPT_LINES)
        self._readers: set[asyncio.Queue[Line]] = set()
        self._missing = 0  # lines that the file does not have
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, source: str, message: str) -> None:
        """Keeps a line and hands it to the open streams."""
        line = Line(source, self.clock(), message)
        self.lines.append(line)
        try:
            self._write(line)
        except OSError:  # a full disk: the app must not wait for its output to be read, and streams go on
            self._missing += 1
        for reader in self._readers:
            with contextlib.suppress(
                asyncio.QueueFull
            ):  # a stream that is not read loses lines, not the server
                reader.put_nowait(line)

    def _write(self, line: Line) -> None:
        if self.path.exists() and self.path.stat().st_size > _FILE_BYTES:
            self.path.replace(self.path.with_suffix(".old.log"))
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(line.timestamp))
        missing = f"{at} [SYSTEM] {self._missing} lines before this one could not be written.\n"
        with self.path.open("a", encoding="utf-8") as out:
            out.write(f"{missing if self._missing else ''}{at} [{line.source}] {line.message}\n")
        self._missing = 0

    def clear(self) -> None:
        """Forgets everything: the platform keeps a log only while the app's compute lives."""
        self.lines.clear()
        self.path.unlink(missing_ok=True)

    def last(self, count: int) -> list[str]:
        """The app's own last lines."""
        return [line.message for line in self.lines if line.source == "APP"][-count:]

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[list[Line], asyncio.Queue[Line]]]:
        """History so far, and a queue of what comes; nothing is lost or doubled in between."""
        queue: asyncio.Queue[Line] = asyncio.Queue(_WAITING_LINES)
        self._readers.add(queue)
        try:
            yield list(self.lines), queue
        finally:
            self._readers.discard(queue)
