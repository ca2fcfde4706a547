"""`history`: what ran on a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from metamcp_deploy.cli.options import AppOption, Run, common
from metamcp_deploy.cli.views.times import minute

if TYPE_CHECKING:
    from metamcp_deploy.deployments.history import Entry

Count = Annotated[int, typer.Option("-n", "--count", min=0, help="Only so many of the newest; 0 for all.")]
_COLUMNS = (" ", "deployment", "when", "what", "outcome", "release")
WIDTH = 80
_INDENT = "    "


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
        run.console.raw(shown(entries))
    else:
        run.console.raw("Nothing was deployed yet.")


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they have to be: a line stays a line, however narrow the terminal, for grep and cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def shown(entries: Sequence[Entry]) -> str:
    """Each deployment in a row of 80 columns, and below it, indented, what has no fixed length."""
    from metamcp_deploy.console import plain

    head, *rows = aligned([_COLUMNS, *map(_row, entries)])
    lines = [head]
    for row, entry in zip(rows, entries, strict=True):
        lines += [row, *_wrapped(_details(entry))]
    return "\n".join(plain(line) for line in lines)


def _row(entry: Entry) -> list[str]:
    outcome = entry.outcome.lower().replace("_", " ")
    marker = "*" if entry.runs else " "
    return [marker, entry.deployment[:12], minute(entry.at), entry.kind, outcome, entry.release or "-"]


def _details(entry: Entry) -> Iterator[str]:
    yield f"by {entry.by}"
    if entry.signed is False:
        yield "(its record is not signed)"
    if entry.of:
        yield f"of {entry.of[:12]}"
    if entry.pin:
        yield f"MetaMCP {entry.pin}"
    if made_of := entry.configuration:
        yield f"configuration {str(made_of.get('commit'))[:10]}" + (
            " +changes" if made_of.get("dirty") else ""
        )
    if entry.message:
        yield f"“{' '.join(entry.message.split())}”"
    if entry.pipeline:
        yield entry.pipeline
    if entry.kind != "destroy" and not entry.known:
        yield "(the workspace no longer lists it)"


def _wrapped(details: Iterator[str]) -> list[str]:
    import textwrap

    # An address stays whole, so that it can be opened.
    return textwrap.wrap(
        "  ".join(details),
        WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
