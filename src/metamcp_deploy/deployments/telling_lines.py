"""Which lines of an app's log name a cause: not the frames and empty fields that Node prints around an error."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metamcp_deploy.events import LogLine

READ = 200  # lines; an error of the database with its cause takes about 40
_SHOWN = 15
_AT_ONCE = 2.0  # seconds; what one failed request prints comes within them
_SAYS_NOTHING = re.compile(
    r"^(\[\w+\])*( *\w+ \|)? *("
    r"at .*|[{}\[\]() ,;]*|params: *(\[\],?)?|query: .*"
    r"|(detail|hint|where|schema|table|column|dataType|constraint|position|internalPosition|internalQuery"
    r"|length|file|line|routine): *(undefined|\d+|'[\w.]*'),?"
    r")$"
)
_FAILURE = re.compile("error|fatal|denied|refused|failed|cannot", re.IGNORECASE)


def of_now(lines: Sequence[LogLine]) -> tuple[str, ...]:
    """Of a running app: what it said with its newest failure, else its last lines. Earlier failures may be over."""
    told = [line for line in lines if not _SAYS_NOTHING.match(line.message)]
    failures = [line.timestamp for line in told if line.timestamp and _FAILURE.search(line.message)]
    if not failures:
        return last(told)
    newest = [line for line in told if line.timestamp and abs(line.timestamp - failures[-1]) <= _AT_ONCE]
    return last(newest)


def last(lines: Sequence[LogLine]) -> tuple[str, ...]:
    """The last lines that say something."""
    return tuple(line.message for line in lines if not _SAYS_NOTHING.match(line.message))[-_SHOWN:]
