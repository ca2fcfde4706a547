"""What a lock file says: the official command line's fields, and one more that it passes over.

Source of the format: `LockState` in the official command line's `libs/locker`, read with Go's encoding/json, which
ignores fields that it does not know.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from metamcp_deploy import resources

# By whoever wrote it, the lock is renewed every so many seconds. The official tool's has no such field: never renewed.
RENEWED_EVERY = "RenewedEverySeconds"


@dataclass(frozen=True)
class LockHolder:
    """Who holds a lock.

    Attributes:
        id: of the lock; empty where the file cannot be read.
        user: name, empty where unknown.
        since: seconds since the epoch when it was taken; None where unknown.
        renewed: seconds since the epoch when its file was last written, on the workspace's clock.
        renewed_every: the seconds within which its owner writes it again; None for one that is never renewed.
    """

    id: str
    user: str = ""
    since: float | None = None
    renewed: float | None = None
    renewed_every: float | None = None

    @classmethod
    def read(cls, content: bytes, renewed: float | None = None) -> LockHolder:
        """From the file's content; whatever it is, somebody wrote it."""
        try:
            found: Any = resources.parsed_json(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return cls("", renewed=renewed)
        every = found.get(RENEWED_EVERY)
        every = float(every) if isinstance(every, int | float) and every > 0 else None
        # Ours are dated by the workspace's clock; the official tool's by its machine's, so the file's own date counts.
        since = _seconds(str(found.get("AcquisitionTime", ""))) if every or renewed is None else renewed
        return cls(str(found.get("ID") or ""), str(found.get("User") or ""), since, renewed, every)

    def written(self, forced: bool) -> bytes:
        """The file's content; `since` and `renewed_every` are to be known."""
        return json.dumps(
            {
                "ID": self.id,
                "AcquisitionTime": datetime.fromtimestamp(self.since or 0, UTC)
                .isoformat()
                .replace("+00:00", "Z"),
                "IsForced": forced,
                "User": self.user,
                RENEWED_EVERY: self.renewed_every,
            }
        ).encode()

    def silent(self, now: float | None) -> float | None:
        """Seconds since it was last renewed; None for one that never is, or without a clock."""
        if now is None or self.renewed is None or self.renewed_every is None:
            return None
        return now - self.renewed

    def worded(self, now: float | None) -> str:
        """For people: name and age."""
        who = self.user or "somebody unknown"
        if now is None or self.since is None:
            return who
        silent = self.silent(now)
        renewed = f", last renewed {age(silent)} ago" if silent is not None else ""
        return f"{who} (since {age(now - self.since)}{renewed})"


def age(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h`."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min" if seconds < 7200 else f"{seconds // 3600:.0f} h"


def _seconds(text: str) -> float | None:
    try:
        # Go writes nanoseconds, which Python takes as far as it knows them.
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
