"""From an app's log what was asked for: batches of lines go in, masked and explained ones come out, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from metamcp_deploy.deployments.log import expression
from metamcp_deploy.deployments.log.kinds import Level, Levels, Service, service
from metamcp_deploy.events import LogLine
from metamcp_deploy.knowledge.entry import Entry
from metamcp_deploy.knowledge.recognition import recogniser
from metamcp_deploy.redaction import Redactor, visible


@dataclass(frozen=True)
class Wishes:
    """What is asked for.

    Attributes:
        follow: go on with new lines until the app stops.
        last: of the past only so many lines.
        source: `APP` or `SYSTEM`.
        grep: only lines with this expression (RE2).
        before: so many lines before each of them.
        after: so many after it.
        since: seconds since the epoch: only lines from then on.
        until: only lines up to then.
        level: only lines that are as bad, or worse.
        services: only lines of these; empty: of all.
        request: only lines that name this request.
        explain: known failures are recognised.
    """

    follow: bool = False
    last: int | None = None
    source: str | None = None
    grep: str = ""
    before: int = 0
    after: int = 0
    since: float | None = None
    until: float | None = None
    level: Level | None = None
    services: frozenset[Service] = frozenset()
    request: str = ""
    explain: bool = False

    @property
    def search(self) -> str:
        """A text that the server may look for: every line that is wanted holds it."""
        if (
            self.before or self.after or self.since is not None
        ):  # the first line says since when there are lines
            return ""
        return max(expression.literal(self.grep), expression.literal(self.request), key=len)


class Shown(NamedTuple):
    """A line to show: masked, with the failure that it shows, and whether lines before it were left out."""

    line: LogLine
    known: Entry | None = None
    apart: bool = False


class View:
    """Takes the lines of one log in their order.

    Raises:
        DeployError: USAGE, for an expression that RE2 does not take.
    """

    def __init__(self, wishes: Wishes, redactor: Redactor) -> None:
        self._wishes = wishes
        self._redactor = redactor
        self._levels = Levels()
        self._pattern = expression.compiled(wishes.grep) if wishes.grep else None
        self._at: float | None = None
        self._before: deque[LogLine] = deque(maxlen=wishes.before)
        self._after = 0  # lines that still follow a hit
        self._left_out = self._hit = False

    def batch(self, lines: list[LogLine]) -> list[Shown]:
        """What is to be shown of the next lines."""
        found = self._wanted(self._masked(lines))
        if self._pattern is None:
            shown = [Shown(line) for line in found]
        elif not (self._wishes.before or self._wishes.after):
            shown = [Shown(found[n]) for n in self._pattern.hits([line.message for line in found])]
        else:
            shown = self._in_context(found)
        return self._explained(shown) if self._wishes.explain and shown else shown

    def _masked(self, lines: list[LogLine]) -> list[LogLine]:
        """Masked as a reader sees them: no escape sequence may hide a secret."""
        masked = self._redactor.lines([visible(line.message) for line in lines])
        return [
            line if text == line.message else replace(line, message=text)
            for line, text in zip(lines, masked, strict=True)
        ]

    def _wanted(self, lines: list[LogLine]) -> list[LogLine]:
        wishes = self._wishes
        if wishes.since is not None or wishes.until is not None:
            lines = [line for line in lines if self._in_time(line)]
        if wishes.level:
            lines = [line for line in lines if self._levels.of(line).rank <= wishes.level.rank]
        if wishes.services:
            lines = [line for line in lines if service(line) in wishes.services]
        if wishes.request:
            lines = [line for line in lines if wishes.request in line.message]
        return lines

    def _in_time(self, line: LogLine) -> bool:
        """A line without a time has that of the line before it."""
        self._at = self._at if line.timestamp is None else line.timestamp
        since, until = self._wishes.since, self._wishes.until
        if self._at is None:
            return since is None
        return (since is None or self._at >= since) and (until is None or self._at <= until)

    def _in_context(self, lines: list[LogLine]) -> list[Shown]:
        shown: list[Shown] = []
        pattern = self._pattern
        hits = set(pattern.hits([line.message for line in lines])) if pattern else set()
        for n, line in enumerate(lines):
            if n in hits:
                apart = self._hit and self._left_out
                for before in (*self._before, line):
                    shown.append(Shown(before, apart=apart))
                    apart = False
                self._before.clear()
                self._after, self._left_out, self._hit = self._wishes.after, False, True
            elif self._after:
                self._after -= 1
                shown.append(Shown(line))
            else:
                self._left_out = self._left_out or len(self._before) == self._wishes.before
                self._before.append(line)
        return shown

    def _explained(self, shown: list[Shown]) -> list[Shown]:
        for n, entry in recogniser().entries([one.line.message for one in shown]):
            shown[n] = shown[n]._replace(known=entry)
        return shown


class Tail:
    """Of what comes before the end of the history only the last lines.

    Args:
        last: how many; None for all.
    """

    def __init__(self, last: int | None) -> None:
        self._kept: deque[Shown] | None = None if last is None else deque(maxlen=last)

    def add(self, shown: list[Shown]) -> Sequence[Shown]:
        """What may be shown now."""
        if self._kept is None:
            return shown
        self._kept += shown
        return ()

    def end(self) -> Sequence[Shown]:
        """What was kept, where the history ends; from there on everything is shown."""
        kept, self._kept = self._kept, None
        return list(kept or ())
