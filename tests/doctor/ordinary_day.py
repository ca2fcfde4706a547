"""Lines that a day's use of MetaMCP v2.4.22 prints: pages, sign-ins that fail and succeed, MCP clients that come, use
tools and leave, servers that are made, deleted, that end in a call or cannot be started.

`ordinary_day.tsv` has the shapes of the lines, generalised from such a use of the real upstream in an embedded
workspace, with how often each came; here they get names, ids, numbers and times.
"""

from __future__ import annotations

import random
import uuid
from pathlib import Path

from metamcp_deploy.events import LogLine

_NAMES = (
    "mail",
    "files",
    "search",
    "tickets",
    "calendar",
    "error-tracker",
    "token-counter",
    "postgres",
    "a",
    "日本",
)


def lines(count: int, seed: int = 1) -> list[LogLine]:
    """So many lines: a start, then the rest of the day."""
    chance = random.Random(seed)
    rows = [row.split("\t") for row in Path(__file__).with_suffix(".tsv").read_text().splitlines()]
    up = next(n for n, (_, _, text) in enumerate(rows) if "MetaMCP is up" in text)
    chosen = [
        *rows[: up + 1],
        *chance.choices(rows[up + 1 :], [int(row[0]) for row in rows[up + 1 :]], k=count),
    ]
    return [
        LogLine(source, _filled(text, chance, n), 1_763_700_000 + n * 4.3)
        for n, (_, source, text) in enumerate(chosen[:count])
    ]


def _filled(text: str, chance: random.Random, n: int) -> str:
    day = f"2026-11-21T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}.000Z"
    values = {
        "{id}": lambda: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "{n}": lambda: str(chance.choice((0, 1, 7, 42, 404, 500, 503, 5432, 28000, 42501, 100_000))),
        "{name}": lambda: chance.choice(_NAMES),
        "{time}": lambda: day,
    }
    for mark, value in values.items():
        while mark in text:
            text = text.replace(mark, value(), 1)
    return text
