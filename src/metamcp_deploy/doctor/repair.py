"""The commands that `doctor --fix` runs, after asking: those that the knowledge base calls repairs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.report import Report


@dataclass(frozen=True)
class Repair:
    """One command, and the failures that it ends."""

    command: str
    ends: tuple[Finding, ...]

    @property
    def words(self) -> list[str]:
        """The command line without the program's name."""
        return shlex.split(self.command)[1:]


def of(report: Report) -> list[Repair]:
    """The repairs of a report's errors, in the order of the findings; a command that several name is run once."""
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.level is Level.ERROR:
            for step in finding.fix:
                if step.repair and step.run:
                    found.setdefault(step.run, []).append(finding)
    return [Repair(command, tuple(ends)) for command, ends in found.items()]
