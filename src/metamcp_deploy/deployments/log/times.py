"""Times as people write them: `15m`, `1h30m`, `14:30`, `2026-11-21 14:30`, `2026-11-21T14:30:00Z`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from metamcp_deploy.errors import Code, DeployError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,3})?[smhdw])+")
_PART = re.compile(r"([\d.]+)([smhdw])")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


def moment(text: str, option: str, now: float) -> float:
    """Seconds since the epoch. A duration counts back from `now`; a time without a zone is of this machine.

    Raises:
        DeployError: USAGE, for what is neither.
    """
    word = text.strip()
    try:
        if _DURATION.fullmatch(word.lower()):
            return now - sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(word.lower()))
        if _CLOCK.fullmatch(word):
            return _on_the_clock(word, now)
        return datetime.fromisoformat(word).timestamp()
    except (ValueError, OverflowError):
        raise DeployError(
            Code.USAGE,
            f"{option}: found `{text[:80]}`, expected a duration or a time.",
            hint=f"For example {option} 15m, {option} 1h30m, {option} 14:30, {option} 2026-11-21T14:30:00Z.",
        ) from None


def _on_the_clock(word: str, now: float) -> float:
    """The last time that a clock of this machine showed this."""
    hour, minute, *second = map(int, word.split(":"))
    today = datetime.fromtimestamp(now).replace(
        hour=hour, minute=minute, second=second[0] if second else 0, microsecond=0
    )
    return (today if today.timestamp() <= now else today - timedelta(days=1)).timestamp()
