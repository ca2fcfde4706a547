"""Lines are recognised all at once, with the same result as by each file's own patterns."""

from __future__ import annotations

import time

from metamcp_deploy.knowledge import loading
from metamcp_deploy.knowledge.entry import Entry, Evidence
from metamcp_deploy.knowledge.recognition import FOLDERS, LONGEST, recogniser

SAMPLES = [
    text
    for where in loading.folders()
    for known in loading.folder(where)
    for seen in known.samples
    for text in (seen.log, seen.body, seen.output)
    if text
]


def by_patterns(text: str) -> Entry | None:
    seen = Evidence(log=text[:LONGEST], output=text[:LONGEST])
    return next((fitting[0] for where in FOLDERS if (fitting := loading.fitting(where, seen))), None)


def test_as_by_each_pattern() -> None:
    lines = [
        *SAMPLES,
        "an ordinary line",
        "",
        "x" * 1_000_000,
        "é \ud800 EADDRINUSE",
        "y" * LONGEST + "EADDRINUSE",
    ]
    expected = [(n, entry.id) for n, line in enumerate(lines) if (entry := by_patterns(line))]
    assert [(n, entry.id) for n, entry in recogniser().entries(lines)] == expected
    assert len(expected) > 30


def test_a_flood_of_one_failure() -> None:
    lines = [f"[backend] error {n}: password authentication failed for user" for n in range(5000)]
    began = time.process_time()
    assert len(list(recogniser().entries(lines))) == 5000
    assert time.process_time() - began < 5  # pattern by pattern it takes longer
