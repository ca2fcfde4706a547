"""Recognises known failures in the lines of an app's log, of a running app or of a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.events import LogLine
from metamcp_deploy.knowledge.entry import Entry
from metamcp_deploy.knowledge.place import Place
from metamcp_deploy.knowledge.recognition import recogniser

UP = "MetaMCP is up"  # the launcher, once both services answer
_AT_ONCE = 5000  # lines


@dataclass(frozen=True)
class Seen:
    """A known failure in a log: how many lines show it, and the last of them."""

    entry: Entry
    count: int
    last: LogLine

    def finding(
        self, place: Place, most: Level | None, explained_by: frozenset[str] = frozenset()
    ) -> Finding:
        """As a finding; not worse than `most`."""
        level = Level(self.entry.level)
        if most is not None and level.rank < most.rank:
            level = most
        often = f" ({self.count} lines; this is the last)" if self.count > 1 else ""
        at = (
            f"{datetime.fromtimestamp(self.last.timestamp, UTC):%Y-%m-%d %H:%M:%S} UTC "
            if self.last.timestamp is not None
            else ""
        )
        evidence = (f"log: {at}{self.last.message[:500]}{often}",)
        return Finding.known(self.entry, place, evidence=evidence, level=level, explained_by=explained_by)


def known(lines: Iterable[LogLine]) -> list[Seen]:
    """The failures that the lines show, in the order of the knowledge base's ranks; each line shows one at most."""
    found: dict[str, Seen] = {}
    several = iter(lines)
    while some := list(islice(several, _AT_ONCE)):
        for n, entry in recogniser().entries([line.message for line in some]):
            before = found.get(entry.id)
            found[entry.id] = Seen(entry, before.count + 1 if before else 1, some[n])
    return sorted(found.values(), key=lambda seen: (Level(seen.entry.level).rank, seen.entry.rank))
