"""What came of all checks: for people as lines, for programs as a document with a published schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metamcp_deploy.doctor.finding import Finding, Level
from metamcp_deploy.doctor.running import Outcome
from metamcp_deploy.knowledge.place import Place

SCHEMA_VERSION = 1
HEALTHY = "ok"
_STATUSES = (HEALTHY, *Level, "skipped")


@dataclass(frozen=True)
class Report:
    """All checks with what they found.

    Attributes:
        outcomes: in the order of dependence.
        place: which deployment.
        seconds: how long it took.
    """

    outcomes: tuple[Outcome, ...]
    place: Place
    seconds: float

    @property
    def findings(self) -> list[Finding]:
        """Worst first, and of one level in the order in which one thing depends on another."""
        found = [finding for outcome in self.outcomes for finding in outcome.findings]
        return sorted(found, key=lambda finding: finding.level.rank)

    @property
    def worst(self) -> Level | None:
        """The level of the worst finding; None where nothing was found."""
        return self.findings[0].level if self.findings else None

    def as_dict(self) -> dict[str, Any]:
        """The document of `-o json`, as `schema` describes it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "status": self.worst.value if self.worst else HEALTHY,
            "target": self.place.target,
            "app": self.place.app,
            "duration_ms": round(1000 * self.seconds),
            "checks": [row for outcome in self.outcomes for row in _rows(outcome)],
        }


def _rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """One row for each finding; one for a check that found nothing, or was not done."""
    common = {"category": outcome.check.id, "duration_ms": round(1000 * outcome.seconds)}
    for finding in outcome.findings:
        yield {**finding.as_dict(), **common}
    if not outcome.findings:
        status = "skipped" if outcome.skipped else HEALTHY
        title = outcome.check.title
        yield {
            "id": outcome.check.id,
            "status": status,
            "summary": f"{title}: {outcome.skipped}" if outcome.skipped else f"{title} is well",
            "evidence": [],
            "cause": "",
            "fix": [],
            "doc": "",
            **common,
        }


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of `as_dict`: fields are added within a version, never taken away."""
    text = {"type": "string"}
    step = {
        "type": "object",
        "properties": {"do": text, "run": text, "ask": text, "safe": {"type": "boolean"}},
    }
    row = {
        "id": text
        | {"description": "of the failure in the knowledge base; of the check where nothing failed"},
        "category": text | {"description": "the check"},
        "status": {"enum": [str(status) for status in _STATUSES]},
        "summary": text,
        "evidence": {"type": "array", "items": text},
        "cause": text,
        "fix": {"type": "array", "items": step},
        "doc": text | {"description": "page and anchor; empty without one"},
        "duration_ms": {"type": "integer", "description": "of the check"},
    }
    properties = {
        "schema_version": {"const": SCHEMA_VERSION},
        "status": {"enum": [HEALTHY, *map(str, Level)], "description": "of the worst finding"},
        "target": {"type": ["string", "null"]},
        "app": {"type": ["string", "null"]},
        "duration_ms": {"type": "integer"},
        "checks": {
            "type": "array",
            "items": {"type": "object", "properties": row, "required": list(row)},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "metamcp-deploy doctor -o json",
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }
