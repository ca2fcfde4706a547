"""A part of the fault matrix, another with each commit; `python -m tests.faults.fault_run --whole` runs all of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.faults.fault_acts import ACTS
from tests.faults.fault_cases import KILLS, KINDS, OUTAGES, Case, Row, part, table
from tests.faults.fault_run import run

SECONDS = 30.0  # and what the cases take that are always run


def commit() -> str:
    """What the part depends on; the same one where there is no git."""
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "no commit"


@pytest.mark.timeout(900)
def test_a_part_of_the_fault_matrix(tmp_path: Path, told: list[Row]) -> None:
    seed = commit()
    others = [act for act in ACTS if act != "deploy"]
    other = others[int(seed, 16) % len(others)] if seed.isalnum() else others[0]

    def wanted(cases: list[Case]) -> list[Case]:
        of_deploy = part([c for c in cases if c.act == "deploy"], seed)
        of_other = part([c for c in cases if c.act == other], seed)
        always = len(KINDS) + len(OUTAGES) + len(KILLS)
        mixed = [c for pair in zip(of_deploy[always:], of_other, strict=False) for c in pair]
        return of_deploy[:always] + mixed

    always = len(KINDS) + len(OUTAGES) + len(KILLS)
    told += run(tmp_path, ("deploy", other), wanted, seconds=SECONDS, at_least=always)
    assert {row.case.kind for row in told} >= {*KINDS, *OUTAGES, *KILLS}
    broken = [row for row in told if row.end == "BROKEN"]
    assert not broken, "\n".join(table(told))
