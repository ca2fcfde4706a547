"""Which faults there are to meet: every call of an act, and everything that can go wrong with it."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

# Of one call. 401: a token that ended early; 429: with Retry-After; lost: it is done, without an answer; truncated: the
# answer comes in halves.
KINDS = ("401", "429", "500", "502", "503", "504", "reset", "stall", "truncated", "lost")
# Of one call and all after it, until the run has ended.
OUTAGES = ("429", "503", "reset", "stall", "401", "403")
# kill -9 of the tool's process: before it sends the n-th request; when that one's answer is on its way; the same, and
# the next run is in another folder, which has to take the lock.
KILLS = ("kill before", "kill after", "kill, elsewhere")
_IDS = re.compile(r"(?<=/)([0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32})(?=/|$)")


@dataclass(frozen=True)
class Call:
    """One call of an act: the `nth` whose method and path are these. `NAME` is the tenant's, `*` any id."""

    method: str
    path: str
    nth: int

    def __str__(self) -> str:
        return f"{self.method} {self.path} ({self.nth})"

    def route(self, name: str) -> str:
        """The pattern of a tenant's calls like this one."""
        return f"{self.method} {self.path.replace('NAME', name)}"


@dataclass(frozen=True)
class Case:
    """One run: an act, and what goes wrong with it.

    Attributes:
        act: `deploy`, ...
        kind: of the fault.
        call: the call that it meets; of a kill, None.
        number: of a kill: the request of the run, counted from 1.
        lasts: from that call on, every call.
    """

    act: str
    kind: str
    call: Call | None = None
    number: int = 0
    lasts: bool = False

    def __str__(self) -> str:
        where = self.call or f"request {self.number}"
        return f"{self.act}: {self.kind} at {where}" + (" and all after it" if self.lasts else "")


End = Literal["healthy", "error, then healthy", "killed, then healthy", "not met", "BROKEN"]


@dataclass(frozen=True)
class Row:
    """How a case ended: `why` is the error's code, or what is broken."""

    case: Case
    end: End
    why: str = ""
    seconds: float = 0.0


def calls(requests: Iterable[tuple[str, str]], name: str) -> list[Call]:
    """The calls of a run, each with its number among those alike."""
    counted: Counter[tuple[str, str]] = Counter()
    found = []
    for method, path in requests:
        masked = _IDS.sub("*", path.replace(name, "NAME"))
        counted[method, masked] += 1
        found.append(Call(method, masked, counted[method, masked]))
    return found


def every(act: str, met: Sequence[Call], sent: int) -> list[Case]:
    """All cases of an act, from its calls and the number of requests that its process sends."""
    single = [Case(act, kind, call) for call in met for kind in KINDS]
    lasting = [Case(act, kind, call, lasts=True) for call in met for kind in OUTAGES]
    killed = [Case(act, kind, number=n) for n in range(1, sent + 1) for kind in KILLS]
    return single + lasting + killed


def part(cases: Sequence[Case], seed: str) -> list[Case]:
    """All cases in an order that the seed decides, at first one of each act and kind."""
    mixed = list(cases)
    random.Random(seed).shuffle(mixed)
    first = {(c.act, c.kind, c.lasts): c for c in reversed(mixed)}
    ahead = sorted(first.values(), key=mixed.index)
    return ahead + [c for c in mixed if c not in set(ahead)]


def table(rows: Sequence[Row]) -> list[str]:
    """How many cases of each kind ended how, and those that ended badly."""
    ends = ("healthy", "error, then healthy", "killed, then healthy", "not met", "BROKEN")
    lines = [f"{'':<28}" + "".join(f"{end:>22}" for end in ends)]
    grouped: dict[tuple[str, str, bool], Counter[str]] = {}
    for row in rows:
        key = (row.case.act, row.case.kind, row.case.lasts)
        grouped.setdefault(key, Counter())[row.end] += 1
    for (act, kind, lasts), count in sorted(grouped.items()):
        named = f"{act}: {kind}" + (" (lasting)" if lasts else "")
        lines.append(f"{named:<28}" + "".join(f"{count[end] or '.':>22}" for end in ends))
    total = Counter(row.end for row in rows)
    lines.append(f"{f'{len(rows)} cases':<28}" + "".join(f"{total[end]:>22}" for end in ends))
    codes = Counter(row.why for row in rows if row.end == "error, then healthy")
    lines += [f"    {count:>4} × {code}" for code, count in codes.most_common()]
    lines += [f"BROKEN {row.case}: {row.why}" for row in rows if row.end == "BROKEN"]
    return lines
