"""Times for people: one form everywhere, in UTC, and it says so."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(at: str) -> str:
    """RFC 3339 as `2026-11-21 19:44:03 UTC`; a text that is no time stays as it is."""
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return at
    return f"{found.astimezone(UTC) if found.tzinfo else found:%Y-%m-%d %H:%M:%S} UTC"


def minute(at: str) -> str:
    """As `moment`, to the minute."""
    said = moment(at)
    return f"{said[:16]} UTC" if said.endswith(" UTC") else said
