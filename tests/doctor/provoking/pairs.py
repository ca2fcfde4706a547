"""Two causes at once: both are named, and nothing else."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field

from tests.doctor.provoking.case import CASES
from tests.doctor.provoking.runner import recovered_notes
from tests.doctor.provoking.scene import Scene, above_notes

PAIRS = (
    ("secret-deleted", "database-project-deleted"),
    ("secret-deleted", "endpoint-disabled"),
    ("secret-deleted", "role-may-not-log-in"),
    ("secret-deleted", "read-only"),
    ("secret-deleted", "table-rights-revoked"),
    ("secret-deleted", "ledger-dropped"),
    ("secret-deleted", "launcher-killed"),
    ("secret-deleted", "stopped"),
    ("secret-deleted", "front-end-hangs"),
    ("secret-deleted", "server-cannot-be-started"),
    ("another-key-attached", "read-only"),
    ("secret-access-taken", "tables-of-another-role"),
    ("stopped", "table-rights-revoked"),
    ("stopped", "read-only"),
    ("stopped", "ledger-of-another-release"),
    ("stopped", "endpoint-disabled"),
    ("launcher-killed", "migration-skipped"),
    ("front-end-hangs", "ledger-dropped"),
    ("front-end-hangs", "tables-of-another-role"),
    ("front-end-ended", "migration-skipped"),
    ("backend-hangs", "secret-deleted"),
    ("backend-hangs", "ledger-of-another-release"),
)
_LOOKS = 3


@dataclass
class Both:
    """What came of a pair."""

    pair: tuple[str, str]
    named: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def expected(self) -> list[str]:
        """The ids of both."""
        return sorted(CASES[name].id for name in self.pair)

    @property
    def good(self) -> bool:
        """Whether both are named, and nothing else."""
        return sorted(self.named) == self.expected

    def __str__(self) -> str:
        return f"{' + '.join(self.pair)} | {', '.join(self.named)} | {'yes' if self.good else 'NO'}"


def provoked(scene: Scene, pair: tuple[str, str]) -> Both:
    """Brings both about, looks, and undoes them."""
    both = Both(pair)
    try:
        for name in sorted(pair, key=lambda name: name in ("stopped", "launcher-killed")):
            CASES[name].provoke(scene)
        for _ in range(_LOOKS):
            found = above_notes(scene.look())
            both.named = [finding.id for finding in found]
            if both.good:
                break
            time.sleep(1)
        if not both.good:
            both.remarks += [f"{f.level} {f.id}: {f.summary} {f.evidence}"[:500] for f in found]
    except Exception as e:
        both.remarks.append("".join(traceback.format_exception_only(e)).strip()[:600])
    both.remarks += recovered_notes(scene)
    return both
