"""Reads the files; each folder once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from metamcp_deploy import resources
from metamcp_deploy.knowledge.entry import Entry, Evidence

_FOLDER = Path(__file__).parent


@cache
def folder(where: str) -> tuple[Entry, ...]:
    """What is known of the failures that show there, by rank."""
    return tuple(
        sorted(map(_read, (_FOLDER / where).glob("*.yaml")), key=lambda known: (known.rank, known.id))
    )


def folders() -> list[str]:
    """All that there are."""
    return sorted(path.name for path in _FOLDER.iterdir() if path.is_dir() and any(path.glob("*.yaml")))


def fitting(where: str, seen: Evidence) -> list[Entry]:
    """All that fit the evidence, the one that counts first."""
    ordered = [(order, known) for known in folder(where) if (order := known.order(seen)) is not None]
    return [known for _, known in sorted(ordered, key=lambda pair: pair[0])]


def _read(path: Path) -> Entry:
    data = resources.parsed_yaml(path.read_text(encoding="utf-8"))
    return Entry.model_validate({**data, "id": path.stem, "where": path.parent.name})
