"""docs/runbook.md, from the files: from what somebody sees to the command that ends it."""

from __future__ import annotations

from collections.abc import Iterator

from metamcp_deploy.knowledge import loading
from metamcp_deploy.knowledge.entry import Entry
from metamcp_deploy.knowledge.place import Place

_HEAD = """# Runbook

Generated from `src/metamcp_deploy/knowledge/` by `python -m metamcp_deploy.knowledge runbook`.

You have a terminal, the app's name and a profile: `--app NAME -p PROFILE` stands for both below. No checkout is needed.

1. `metamcp-deploy doctor --app NAME -p PROFILE` names the cause first, with the command that ends it. `--fix` runs what
   can be repaired without losing anything, after asking.
2. `metamcp-deploy status --app NAME -p PROFILE` shows the app in one look; `logs -f` what it says.
3. Where a deployment broke it: `history`, then `rollback --plan`, then `rollback`.
4. Where nobody knows: `doctor --bundle OUT.zip` collects what a ticket needs, masked.

`doctor explain ID` prints the page of one failure; all are in [diagnoses.md](diagnoses.md).
"""
# What somebody sees, in the order in which they would look it up → the folders whose failures it can be.
_SYMPTOMS = {
    "The URL answers 502 or 503, or not at all": ("health", "launcher"),
    "It answers, and something in it fails": ("app",),
    "An editor or a browser does not get through": ("client",),
    "The database": ("database",),
    "`doctor` names the app, its resources or its secrets": ("doctor",),
    "A deployment ends with an error": ("platform", "workspace"),
}


def markdown() -> str:
    """The page."""
    parts = [_HEAD]
    for symptom, folders in _SYMPTOMS.items():
        parts.append(f"## {symptom}\n\n| seen | id | what ends it |\n| --- | --- | --- |")
        known = [entry for where in folders for entry in loading.folder(where)]
        parts.append("\n".join(map(_row, known)) + "\n")
    return "\n".join(parts)


def _row(known: Entry) -> str:
    return f"| {_cell(known.title)} | [{known.id}](diagnoses.md#{known.id}) | {_cell('; '.join(_steps(known)))} |"


def _steps(known: Entry) -> Iterator[str]:
    """What ends it; what only looks, where there is nothing else."""
    steps = list(known.steps(place=Place(app="NAME", profile="PROFILE")))
    if known.by_itself:
        yield "ends by itself"
    for step in [step for step in steps if not step.safe] or steps:
        do = (step.do or "").rstrip(".:")
        yield ": ".join(filter(None, (do, f"`{step.run}`" if step.run else "")))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
