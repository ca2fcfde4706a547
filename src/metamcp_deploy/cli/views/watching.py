"""Looks again and again: on a terminal in place, elsewhere a line for each change, as JSON a document a line."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from metamcp_deploy.cli.views import status as views
from metamcp_deploy.cli.views.times import moment
from metamcp_deploy.errors import DeployError

if TYPE_CHECKING:
    from metamcp_deploy.cli.options import Run
    from metamcp_deploy.cli.views.status import Row

Look = Callable[[], tuple[dict[str, Any], list["Row"]]]


def watch(run: Run, look: Look, every: float, times: int | None = None) -> None:
    """Shows a look, and after each pause the next one, until it is interrupted.

    Args:
        run: with the console and the form of the output.
        look: gives document and rows. A failure of it is shown, and the next look may be better.
        every: seconds between two.
        times: so many looks; None for no end.
    """
    run.streams = run.console.streams = True
    before: list[Row] | None = None
    done = 0
    with run.console.refreshing() as refresh:
        while True:
            document, rows = _looked(run, look)
            if run.output == "json":
                run.console.line(document)
            else:
                marks = views.changed(rows, before)
                refresh(_head(every), rows, marks)
            before, done = rows, done + 1
            if times is not None and done >= times:
                return
            time.sleep(every)


def _looked(run: Run, look: Look) -> tuple[dict[str, Any], list[Row]]:
    try:
        return look()
    except DeployError as e:
        hint = run.console.completed(e.hint)
        return {"error": run.shown(e)}, [("", e.message, views.BAD), ("Next", hint, "bold")]


def _head(every: float) -> str:
    return f"{moment(datetime.now(UTC).isoformat())}, every {every:g} s; Ctrl-C ends"
