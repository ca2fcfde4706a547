"""`history`: what ran on a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from metamcp_deploy.cli.options import AppOption, Run, common

if TYPE_CHECKING:
    from metamcp_deploy.deployments.history import Entry

Count = Annotated[int, typer.Option("-n", "--count", min=0, help="Only so many of the newest; 0 for all.")]
_COLUMNS = (" ", "deployment", "when", "who", "what", "outcome", "release", "pin", "configuration", "message")


@common
def history(run: Run, app: AppOption = None, count: Count = 20) -> None:
    """Show what was deployed: when, by whom, from which configuration, and how it ended."""
    from metamcp_deploy.deployments import history as stage
    from metamcp_deploy.target import locate

    run.app = app
    with run.console.following():
        entries = stage.look(locate.site(run.project), count or None)
    if run.output == "json":
        run.console.data({"deployments": [entry.as_dict() for entry in entries]})
    elif entries:
        run.console.raw("\n".join(aligned([_COLUMNS, *map(_row, entries)])))
    else:
        run.console.raw("Nothing was deployed yet.")


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they have to be: a line stays a line, however narrow the terminal, for grep and cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(entry: Entry) -> list[str]:
    what = entry.kind + (f" of {entry.of[:12]}" if entry.of else "")
    outcome = entry.outcome.lower().replace("_", " ")
    notes = [entry.message or "", entry.pipeline or ""]
    if entry.kind not in ("destroy",) and not entry.known:
        notes.append("(the workspace no longer lists it)")
    return [
        "*" if entry.runs else " ",
        entry.deployment[:12],
        moment(entry.at),
        entry.by,
        what,
        outcome,
        entry.release or "-",
        entry.pin or "-",
        _configuration(entry),
        " ".join(text for text in notes if text),
    ]


def moment(at: str) -> str:
    """A time for people, to the second (UTC)."""
    return at[:19].replace("T", " ").removesuffix("Z")


def _configuration(entry: Entry) -> str:
    made_of = entry.configuration
    if not made_of:
        return "-"
    return str(made_of["commit"])[:10] + (" +changes" if made_of.get("dirty") else "")
