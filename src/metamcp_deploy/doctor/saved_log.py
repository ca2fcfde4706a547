"""`doctor --log FILE`: the known failures in a saved log, without any access.

A failure before the last line in which MetaMCP is up is over, and a note. After it, or where MetaMCP never came up, the
failures count as in a running app's log.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from metamcp_deploy.doctor.check import Check
from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.log_reading import UP, Seen
from metamcp_deploy.doctor.report import Report
from metamcp_deploy.doctor.running import Outcome
from metamcp_deploy.events import LogLine
from metamcp_deploy.knowledge.place import DEFAULT
from metamcp_deploy.knowledge.recognition import recogniser
from metamcp_deploy.redaction import Redactor, visible

_AT_ONCE = 5000  # lines


def look(lines: Iterable[LogLine], name: str, redactor: Redactor) -> Report:
    """What the lines show, as a report with one check.

    Args:
        lines: of the log, in their order.
        name: the file's, for people.
        redactor: masks the lines that are shown as evidence.
    """
    began = time.monotonic()
    count, up = 0, False
    over: dict[str, Seen] = {}
    open_: dict[str, Seen] = {}
    several = iter(lines)
    while some := list(islice(several, _AT_ONCE)):
        count += len(some)
        known = dict(recogniser().entries([line.message for line in some]))
        for n, line in enumerate(some):
            if UP in line.message:
                up = True
                over = {id_: _added(over.get(id_), seen) for id_, seen in open_.items()} | {
                    id_: seen for id_, seen in over.items() if id_ not in open_
                }
                open_ = {}
            elif entry := known.get(n):
                shown = replace(line, message=redactor.text(visible(line.message)))
                open_[entry.id] = _added(open_.get(entry.id), Seen(entry, 1, shown))
    found = [
        *(seen.finding(DEFAULT, Level.WARNING if up else None) for seen in _ranked(open_)),
        *(_over(seen) for seen in _ranked(over) if seen.entry.id not in open_),
    ]
    check = Check("log", f"the log {name} ({count} lines)", lambda _: ())
    seconds = time.monotonic() - began
    return Report((Outcome(check, tuple(found), seconds=round(seconds, 3)),), DEFAULT, round(seconds, 3))


def _added(before: Seen | None, seen: Seen) -> Seen:
    return replace(seen, count=before.count + seen.count) if before else seen


def _ranked(found: dict[str, Seen]) -> list[Seen]:
    return sorted(found.values(), key=lambda seen: (Level(seen.entry.level).rank, seen.entry.rank))


def _over(seen: Seen) -> Finding:
    finding = seen.finding(DEFAULT, Level.NOTE)
    return replace(finding, summary=f"{finding.summary}; it is over: MetaMCP was up after it")
