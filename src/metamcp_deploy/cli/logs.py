"""`logs`: the app's log, filtered, masked, and with known failures explained below the lines that show them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metamcp_deploy.cli.options import AppOption, Run, common

if TYPE_CHECKING:
    from metamcp_deploy.deployments.log.view import Shown, Wishes
    from metamcp_deploy.events import LogLine
    from metamcp_deploy.knowledge.entry import Entry
    from metamcp_deploy.knowledge.place import Place

_AGAIN = 60.0  # seconds after which a failure that goes on is named again
_MOST_CONTEXT = 10_000  # lines
_INDENT = " " * 35  # below the message


class Source(StrEnum):
    """Who wrote a log line: the app, or the platform."""

    app = "APP"
    system = "SYSTEM"


class Service(StrEnum):
    """Which program wrote it."""

    backend = "backend"
    frontend = "frontend"
    launcher = "launcher"
    mcp = "mcp"
    system = "system"


class Level(StrEnum):
    """How bad it is."""

    error = "error"
    warning = "warning"
    info = "info"
    debug = "debug"


Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines.")]
Lines = Annotated[int | None, typer.Option("-n", "--lines", min=0, help="Only so many lines of the past.")]
SourceOption = Annotated[
    Source | None, typer.Option("--source", case_sensitive=False, help="Only the app's or the platform's.")
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From then on: 15m, 14:30, a date.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to then.")]
Grep = Annotated[
    str, typer.Option("--grep", metavar="REGEX", help="Only lines with it (RE2; (?i) ignores case).")
]
After = Annotated[
    int, typer.Option("-A", "--after", min=0, max=_MOST_CONTEXT, help="Lines after each of them.")
]
Before = Annotated[
    int, typer.Option("-B", "--before", min=0, max=_MOST_CONTEXT, help="Lines before each of them.")
]
Context = Annotated[
    int, typer.Option("--context", min=0, max=_MOST_CONTEXT, help="Both; -C with a number is the same.")
]
Directory = Annotated[
    str | None,
    typer.Option("-C", "--directory", metavar="FOLDER", help="Working folder; a number: --context."),
]
LevelOption = Annotated[Level | None, typer.Option("--level", help="Only lines that are as bad, or worse.")]
ServiceOption = Annotated[
    list[Service] | None, typer.Option("--service", help="Only lines of this program; repeatable.")
]
Request = Annotated[str, typer.Option("--request", metavar="ID", help="Only lines that name this request.")]
Explain = Annotated[
    bool | None,
    typer.Option("--explain/--no-explain", help="Explain known failures; by default on a terminal."),
]


@common
def logs(
    run: Run,
    app: AppOption = None,
    follow: Follow = False,
    lines: Lines = None,
    since: Since = None,
    until: Until = None,
    grep: Grep = "",
    after: After = 0,
    before: Before = 0,
    context: Context = 0,
    level: LevelOption = None,
    service: ServiceOption = None,
    request: Request = "",
    source: SourceOption = None,
    explain: Explain = None,
    directory: Directory = None,
) -> None:
    """Show the app's log."""
    from metamcp_deploy.deployments.log.kinds import Level as Bad
    from metamcp_deploy.deployments.log.kinds import Service as Who
    from metamcp_deploy.deployments.log.times import moment
    from metamcp_deploy.deployments.log.view import Wishes

    now = time.time()
    run.app, run.streams, run.console.streams = app, True, True
    context = max(context, _folder_or_context(run, directory))
    wishes = Wishes(
        follow=follow,
        last=lines,
        source=source.value if source else None,
        grep=grep,
        before=max(before, context),
        after=max(after, context),
        since=moment(since, "--since", now) if since else None,
        until=moment(until, "--until", now) if until else None,
        level=Bad(level) if level else None,
        services=frozenset(map(Who, service or ())),
        request=request,
        explain=explain if explain is not None else run.output == "text" and sys.stdout.isatty(),
    )
    _show(run, wishes)


def _folder_or_context(run: Run, directory: str | None) -> int:
    """`-C` is the folder, as everywhere; with a number that names none it is what it is to grep."""
    if directory is None:
        return 0
    folder = Path(directory)
    if folder.is_dir():
        run.directory = folder
        return 0
    if directory.isdecimal():
        return min(int(directory), _MOST_CONTEXT)
    raise typer.BadParameter(f"Directory '{directory}' does not exist.", param_hint="'-C' / '--directory'")


def _show(run: Run, wishes: Wishes) -> None:
    from metamcp_deploy import events
    from metamcp_deploy.deployments import access
    from metamcp_deploy.knowledge.place import Place

    project = run.project
    form = _Json() if run.output == "json" else _Text(Place.of(project))
    with events.listening(run.console.event):
        for batch in access.logs(project, wishes, run.console.redactor):
            if batch:
                run.console.raw(form.block(batch))


class _Json:
    """One object a line; `known` where a failure was recognised."""

    def block(self, batch: Sequence[Shown]) -> str:
        from metamcp_deploy.console import as_json

        return "\n".join(as_json(self._fields(one.line, one.known), None) for one in batch)

    def _fields(self, line: LogLine, known: Entry | None) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "timestamp": line.timestamp,
            "source": line.source,
            "message": line.message,
        }
        if known:
            fields["known"] = {
                "id": known.id,
                "title": known.title,
                "cause": known.cause,
                "fix": known.hint(),
            }
        return fields


class _Text:
    """Lines with the time in UTC; below a line the failure that it shows, in full when it is the first."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._second, self._shown_as = -1, ""
        self._named: dict[str, float] = {}  # id of a failure → when it was named last

    def block(self, batch: Sequence[Shown]) -> str:
        shown: list[str] = []
        for line, known, apart in batch:
            if apart:
                shown.append("--")
            message = line.message
            if "\n" in message:
                message = message.replace("\n", f"\n{_INDENT}")
            shown.append(f"{self._time(line.timestamp)} {line.source:<6} {message}")
            if known:
                shown += self._explained(known, line.timestamp)
        return "\n".join(shown)

    def _time(self, stamp: float | None) -> str:
        if stamp is None:
            return " " * 27
        second, milliseconds = divmod(int(stamp * 1000), 1000)
        if second != self._second:
            self._second, self._shown_as = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"
        return f"{self._shown_as}.{milliseconds:03} UTC"

    def _explained(self, known: Entry, stamp: float | None) -> Iterator[str]:
        at = stamp if stamp is not None else time.time()
        before = self._named.get(known.id)
        if before is not None and at - before < _AGAIN:
            return
        self._named[known.id] = at
        yield f"{_INDENT}↳ {known.title} [{known.id}]"
        if before is None:
            yield f"{_INDENT}  cause: {known.cause}"
            yield f"{_INDENT}  fix: {known.hint(place=self._place)}"
