"""What a check found: one failure with its evidence, cause and fix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from metamcp_deploy import knowledge
from metamcp_deploy.errors import DeployError
from metamcp_deploy.knowledge.entry import Entry, Step
from metamcp_deploy.knowledge.place import DEFAULT, NOTHING, Place

_PAGE = "docs/diagnoses.md"


class Level(StrEnum):
    """How bad a finding is, worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Level).index(self)


@dataclass(frozen=True)
class Finding:
    """One failure.

    Attributes:
        id: of the knowledge base, or an error's code with hyphens.
        level: error, warning or note.
        summary: one sentence that names the thing.
        evidence: what shows it: an API's answer, a log line, a statement with its result, a time.
        cause: why.
        fix: the steps that end it, with commands to paste.
        doc: where more is written; empty where nothing is.
        explained_by: checks. Where one of them found an error, this is what follows from it, and no other failure.
        over_with: checks. Where all of them looked and found nothing, this was, and is over: a note.
    """

    id: str
    level: Level
    summary: str
    evidence: tuple[str, ...] = ()
    cause: str = ""
    fix: tuple[Step, ...] = ()
    doc: str = ""
    explained_by: frozenset[str] = frozenset()
    over_with: frozenset[str] = frozenset()

    @classmethod
    def known(
        cls,
        entry: Entry,
        place: Place = DEFAULT,
        *,
        summary: str = "",
        evidence: tuple[str, ...] = (),
        values: Mapping[str, object] = NOTHING,
        level: Level | None = None,
        explained_by: frozenset[str] = frozenset(),
    ) -> Finding:
        """A failure of the knowledge base.

        Args:
            entry: the failure.
            place: which deployment its commands are about.
            summary: what is said in place of its title.
            evidence: as the attribute.
            values: for the templates of its fix.
            level: in place of the entry's own.
            explained_by: as the attribute.
        """
        return cls(
            entry.id,
            level or Level(entry.level),
            summary or entry.title,
            tuple(filter(None, evidence)),
            entry.cause,
            tuple(entry.steps(values, place)),
            f"{_PAGE}#{entry.id}",
            explained_by,
        )

    @classmethod
    def of_error(
        cls, error: DeployError, place: Place = DEFAULT, explained_by: frozenset[str] = frozenset()
    ) -> Finding:
        """An expected failure of this tool, with its cause where the knowledge base has it."""
        known = knowledge.find(error.known) if error.known else None
        step = Step(do=error.hint)
        return cls(
            known.id if known else error.code.value.replace("_", "-"),
            Level.ERROR,
            error.message,
            tuple((error.detail or "").splitlines()),
            known.cause if known else "",
            (step,),
            f"{_PAGE}#{known.id}" if known else "",
            explained_by,
        )

    def as_level(self, level: Level) -> Finding:
        """The same, as bad as this."""
        return replace(self, level=level)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what a check's row has of it."""
        steps = [step.model_dump(exclude_defaults=True) for step in self.fix]
        return {
            "id": self.id,
            "status": self.level.value,
            "summary": self.summary,
            "evidence": list(self.evidence),
            "cause": self.cause,
            "fix": steps,
            "doc": self.doc,
        }
