"""Lines of a saved log, in whichever form: `logs` as text or JSON, the platform's page or command line, or as they are.

The platform's forms are not documented: a time and a source before a line are taken off where they are, with or without
brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from metamcp_deploy.events import LogLine
from metamcp_deploy.workspace.logs import parse

# Of `logs --explain`, and no line of the app.
_EXPLANATION = re.compile(r" {20}(?:↳ .*\[[a-z0-9-]+\]|  (?:cause|fix): )")
_CONTINUED = re.compile(r" {20}(?=\S)")  # of a line of several lines, or one without a time
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_TIME = rf"\[?(\d{{4}}-\d\d-\d\d[T ]{_CLOCK}(?: ?Z| ?[+-]\d\d:?\d\d| UTC)?|{_CLOCK})\]?"
_HEAD = re.compile(
    rf"(?:{_TIME}[ \t,|-]+)?\[?(APP|SYSTEM|BUILD)\]?(?:[ \t]*[:|-]?[ \t]+|$)"
    rf"|{_TIME}[ \t]+(?=\[(?:backend|frontend|migrate|MetaMCP)\])"
)
_LONGEST_HEAD = 100


def lines(texts: Iterable[str]) -> Iterator[LogLine]:
    """Each line of a file as a line of the app's log, without what a person's tools put before it."""
    for text in texts:
        text = text.rstrip("\r\n").removeprefix("\ufeff")
        if not text or _EXPLANATION.match(text):
            continue
        if text.startswith("{") and (line := parse(text)) and line.message != text:
            yield line
        else:
            yield _of_text(text)


def _of_text(text: str) -> LogLine:
    head = _HEAD.match(text, 0, _LONGEST_HEAD)
    if head is None:
        return LogLine("", _CONTINUED.sub("", text, count=1))
    source = head[2] or "APP"
    return LogLine(
        "SYSTEM" if source == "BUILD" else source, text[head.end() :], _stamp(head[1] or head[3] or "")
    )


def _stamp(text: str) -> float | None:
    """Seconds since the epoch; None for a time without a date."""
    word = text.replace(",", ".").replace(" UTC", "Z").replace(" Z", "Z")
    word = re.sub(r"\.(\d{6})\d+", r".\1", word)
    word = re.sub(r" (?=[+-]\d\d:?\d\d$)", "", word)
    try:
        return datetime.fromisoformat(word).timestamp() if "-" in word else None
    except (ValueError, OverflowError):
        return None
