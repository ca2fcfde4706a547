"""Provokes one failure after the other in one scene, and judges what `doctor` says."""

from __future__ import annotations

import re
import shlex
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from metamcp_deploy.doctor.finding import Finding
from metamcp_deploy.doctor.report import Report
from tests.doctor.provoking import case, database, inside, logins, platform
from tests.doctor.provoking.case import CASES, Case
from tests.doctor.provoking.scene import Scene, above_notes

MODULES = (platform, database, logins, inside)
_LOOKS = 4  # a failure may need a moment to show
_APPROVED = ("adopt", "rollback", "restart")
_READS = re.compile(r"<| logs | rollback ")  # what only shows something, or is one of two ways
_HEALED_SECONDS = 40.0


@dataclass
class Row:
    """What came of one case.

    Attributes:
        case: which.
        provoked: whether it could be brought about.
        named: ids of the findings, the first one first; notes only where the case is one.
        seconds: that `doctor` took to name it.
        healed: by the commands of the fix; None where there are none.
        well: whether the app was well after it was undone, and `doctor` found nothing.
        remarks: what went wrong.
    """

    case: Case
    provoked: bool = False
    named: list[str] = field(default_factory=list)
    seconds: float = 0.0
    healed: bool | None = None
    well: bool = False
    remarks: list[str] = field(default_factory=list)

    @property
    def first(self) -> bool:
        """Whether the expected diagnosis came first."""
        return self.named[:1] == [self.case.id]

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        alone = self.named == [self.case.id]
        return alone and self.well and (self.healed is True or not self.case.heals)

    def __str__(self) -> str:
        others = ", ".join(self.named[1:] if self.first else self.named) or "-"
        healed = "-" if self.healed is None else "yes" if self.healed else "NO"
        marks = ("yes" if self.provoked else "NO", "yes" if self.first else "NO", others, healed)
        return " | ".join(
            (
                f"{self.case.name} | {self.case.id}",
                *marks,
                f"{self.seconds:.1f}",
                "yes" if self.well else "NO",
            )
        )


HEAD = "row | diagnosis | provoked | named first | others named | healed | seconds | well again"


def chosen(only: Sequence[str], upstream: bool) -> list[Case]:
    """The cases of these names or diagnoses, all without; those that this upstream can show."""
    apart = "sample" if upstream else "upstream"
    return [
        one
        for one in CASES.values()
        if one.only != apart and (not only or one.name in only or one.id in only)
    ]


def run(scene: Scene, cases: Sequence[Case]) -> Iterator[Row]:
    """Each case; the scene is healthy before and after each one."""
    for one in cases:
        yield provoked(scene, one)


def provoked(scene: Scene, one: Case) -> Row:
    row = Row(one)
    try:
        one.provoke(scene)
        row.provoked = True
        report = named(scene, row)
        if one.heals:
            row.healed = heal(scene, report, row)
            if row.healed:
                scene.undoing.clear()
    except Exception as e:
        row.remarks.append("".join(traceback.format_exception_only(e)).strip()[:600])
    row.well = recovered(scene, row)
    return row


def named(scene: Scene, row: Row) -> Report:
    """Looks until the expected diagnosis comes first, a few times; what the last look said."""
    for attempt in range(_LOOKS):
        began = time.monotonic()
        report = scene.look()
        row.seconds = time.monotonic() - began
        found = report.findings if row.case.note else above_notes(report)
        row.named = [finding.id for finding in found]
        if row.named == [row.case.id]:
            break
        if attempt < _LOOKS - 1:
            time.sleep(1)
    if row.named != [row.case.id]:
        row.remarks += [f"{f.level} {f.id}: {f.summary} {f.evidence}"[:700] for f in found]
    return report


def commands(finding: Finding) -> list[list[str]]:
    """The commands of a fix that change something."""
    return [
        shlex.split(step.run)
        for step in finding.fix
        if step.run and not step.safe and not _READS.search(step.run)
    ]


def heal(scene: Scene, report: Report, row: Row) -> bool:
    """Runs the commands of the first finding's fix, as they stand there."""
    if row.case.by_hand:
        row.case.by_hand(scene)
    for program, *words in commands(above_notes(report)[0]):
        if program == "databricks":
            databricks(scene, words)
            continue
        approved = ["--auto-approve"] if {*_APPROVED} & {*words} else []
        scene.tool(*words, *approved)
    if not scene.healthy(_HEALED_SECONDS):
        row.remarks.append("the fix does not make the app healthy")
        return False
    return quiet(scene, row, "after the fix")


def databricks(scene: Scene, words: list[str]) -> None:
    """What the official command line sends."""
    assert words[:2] == ["secrets", "put-acl"], words
    body = dict(zip(("scope", "principal", "permission"), words[2:], strict=True))
    scene.api("POST", "/api/2.0/secrets/acls/put", body)


def recovered(scene: Scene, row: Row) -> bool:
    """Undoes what is left, and waits until all is well."""
    while scene.undoing:
        undo = scene.undoing.pop()
        try:
            undo()
        except Exception as e:
            row.remarks.append(f"undo: {''.join(traceback.format_exception_only(e)).strip()[:600]}")
    try:
        if not scene.healthy(20):
            scene.restart()
        if not scene.healthy(_HEALED_SECONDS):
            row.remarks.append("not healthy after it was undone")
            scene.tool("deploy", fails=True)
            scene.restart()
            return False
        return quiet(scene, row, "after it was undone")
    except Exception as e:
        row.remarks.append(f"recovery: {''.join(traceback.format_exception_only(e)).strip()[:600]}")
        return False


def recovered_notes(scene: Scene) -> list[str]:
    """As `recovered`, for others: what went wrong."""
    row = Row(next(iter(CASES.values())))
    recovered(scene, row)
    return row.remarks


def quiet(scene: Scene, row: Row, when: str) -> bool:
    """Whether `doctor` finds nothing; what was over a moment ago may linger for one look."""
    for _ in range(2):
        left = above_notes(scene.look())
        if not left:
            return True
        time.sleep(1)
    row.remarks += [f"{when}: {f.level} {f.id}: {f.summary} {f.evidence}"[:500] for f in left]
    if any(
        "in the last 15 minutes" in f.summary or (f.evidence[:1] and f.evidence[0].startswith("log:"))
        for f in left
    ):
        scene.restart()  # a remark on what was, which a new start forgets
        return scene.healthy(_HEALED_SECONDS) and not above_notes(scene.look())
    return False


__all__ = ["CASES", "HEAD", "MODULES", "Row", "case", "chosen", "provoked", "run"]
