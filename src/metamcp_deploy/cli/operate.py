"""Commands for an app that runs; with `--app NAME -p PROFILE` they need no configuration."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli.options import AppOption, Run, common

if TYPE_CHECKING:
    from metamcp_deploy.events import LogLine
    from metamcp_deploy.health import Report


class Source(StrEnum):
    """Who wrote a log line: the app, or the platform."""

    app = "APP"
    system = "SYSTEM"


@common
def health(
    run: Run,
    app: AppOption = None,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for a healthy answer.")] = 0,
) -> None:
    """Ask the app how it is; exit code 0 only when it is healthy."""
    from metamcp_deploy.deployments import access
    from metamcp_deploy.knowledge.place import Place

    run.app = app
    with run.console.following():
        report = access.healthy(run.project, wait)
    failure = report.failure(Place.of(run.project))
    document = report.as_dict() | ({"error": run.shown(failure)} if failure else {})
    if failure and run.output != "json":
        raise failure
    run.console.data(document, _shown(report))
    if failure:
        raise typer.Exit(1)


@common
def logs(
    run: Run,
    app: AppOption = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines.")] = False,
    lines: Annotated[
        int | None, typer.Option("-n", "--lines", min=0, help="Only so many lines of the past.")
    ] = None,
    source: Annotated[
        Source | None,
        typer.Option("--source", case_sensitive=False, help="Only the app's or the platform's."),
    ] = None,
    grep: Annotated[str, typer.Option("--grep", help="Only lines that hold this text.")] = "",
) -> None:
    """Show the app's log."""
    from metamcp_deploy.deployments import access

    run.app, run.streams, run.console.streams = app, True, True
    wanted = source.value if source else None
    for line in access.logs(run.project, follow=follow, last=lines, source=wanted, grep=grep):
        run.console.raw(_json_line(line) if run.output == "json" else _text_line(line))


@common
def token(run: Run, app: AppOption = None) -> None:
    """Print an OAuth token that opens the app, for `curl -H "Authorization: Bearer $(...)"`."""
    from metamcp_deploy.deployments import access

    run.app = app
    value = access.token(run.project)
    run.console.data({"token": value}, value)


def _shown(report: Report) -> str:
    lines = [f"{report.status.value}  {report.url}"]
    lines += [f"  {c.http} GET {c.path}  {1000 * c.seconds:.0f} ms" for c in report.checks]
    return "\n".join(lines)


def _json_line(line: LogLine) -> str:
    from metamcp_deploy.console import as_json

    fields: dict[str, Any] = {"timestamp": line.timestamp, "source": line.source, "message": line.message}
    return as_json(fields, None)


def _text_line(line: LogLine) -> str:
    from metamcp_deploy.console import plain

    time = (
        f"{datetime.fromtimestamp(line.timestamp):%H:%M:%S.%f}"[:-3]
        if line.timestamp is not None
        else " " * 12
    )
    return f"{time} {line.source:<6} {plain(line.message)}"
