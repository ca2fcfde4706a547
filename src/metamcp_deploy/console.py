"""Shows events and results: text for people, JSON for programs. The only module that imports rich.

Data goes to stdout, everything else to stderr. On a terminal the current work is one moving line with the last lines of
a tool's own output below it; without a terminal each event is a line.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from metamcp_deploy import events
from metamcp_deploy.errors import DeployError
from metamcp_deploy.redaction import Redactor, visible

_OUTPUT_LINES = 6
_ACTION_STYLE = {"created": "green", "changed": "yellow", "sent": "green", "deleted": "red", "kept": "dim"}


class Console:
    """What a run shows.

    Args:
        output: `text` or `json`: the form of the data on stdout.
        log_format: `text` or `json`: the form of the progress on stderr.
        color: False for `--no-color` (NO_COLOR is obeyed by rich itself).
    """

    def __init__(self, output: str = "text", log_format: str = "text", color: bool = True) -> None:
        self.output = output
        self.log_format = log_format
        self.completed: Callable[[str], str] = str  # of a hint, so that its commands can be pasted
        self.streams = False  # with `-o json` an error is one line, as everything before it
        self._err = RichConsole(stderr=True, no_color=not color or None, highlight=False, soft_wrap=True)
        self._out = RichConsole(no_color=not color or None, highlight=False, soft_wrap=True)
        self.redactor = Redactor()
        self._live: Live | None = None
        self._stage = ""
        self._progress: events.Progress | None = None
        self._since = time.monotonic()
        self._lines: deque[str] = deque(maxlen=_OUTPUT_LINES)
        self._lock = threading.RLock()  # events come from the threads that read other programs' output

    def hide(self, values: Iterable[str]) -> None:
        """Replaces these texts by stars wherever another program's output or an error repeats them."""
        self.redactor.know(values)

    def clean(self, text: str) -> str:
        """The text with what is hidden, and what looks like a secret, as stars."""
        return self.redactor.text(text)

    # -- progress -----------------------------------------------------------------------------------------------

    @contextmanager
    def following(self) -> Iterator[None]:
        """Shows all events emitted during the block."""
        live_wanted = self.log_format == "text" and self._err.is_terminal and not self._err.is_dumb_terminal
        with events.listening(self.event):
            if not live_wanted:
                yield
                return
            with Live(
                get_renderable=self._moving, console=self._err, refresh_per_second=10, transient=True
            ) as live:
                self._live = live
                try:
                    yield
                finally:
                    self._live = None

    def event(self, event: events.Event) -> None:
        """Shows one event."""
        with self._lock:
            self._show(event)

    def _show(self, event: events.Event) -> None:
        if self.log_format == "json":
            fields = {k: self.clean(v) if isinstance(v, str) else v for k, v in vars(event).items()}
            line = {"time": round(time.time(), 3), "event": _snake(type(event).__name__), **fields}
            print(json.dumps(line, default=str), file=sys.stderr, flush=True)  # noqa: T201
            return
        shown = self._worded(event)
        if shown is not None:
            # On a terminal sentences break between words; in a file a line is a line.
            self._err.print(plain(shown), soft_wrap=not self._err.is_terminal)

    def _worded(self, event: events.Event) -> str | None:
        match event:
            case events.StageStarted():
                self._stage, self._progress, self._since = event.stage, None, time.monotonic()
                self._lines.clear()
                return f"[bold cyan]▸[/] [bold]{event.stage}[/] [dim]({escape(event.reason)})[/]"
            case events.StageFinished():
                self._stage, self._progress = "", None
                self._lines.clear()
                summary = f" {escape(event.summary)}" if event.summary else ""
                return f"[bold green]✓[/] [bold]{event.stage}[/]{summary} [dim]{duration(event.seconds)}[/]"
            case events.StageSkipped():
                return f"[green]✓[/] [bold]{event.stage}[/] [dim]{escape(event.reason)}[/]"
            case events.Progress():
                return self._progressed(event)
            case events.Output():
                return self._printed(event.source, event.line)
            case events.LogLine():
                return self._printed(event.source, event.message)
            case events.Note():
                return f"  {escape(self.clean(event.text))}"
            case events.Changed():
                style = _ACTION_STYLE.get(event.action, "cyan")
                return f"  [{style}]{event.action:<8}[/] {escape(event.kind)} {escape(event.name)}"
            case events.Warned():
                hint = f"\n    [dim]{escape(self.completed(event.hint))}[/]" if event.hint else ""
                return f"[bold yellow]![/] {escape(self.clean(event.text))}{hint}"
        return None

    def _progressed(self, event: events.Progress) -> str | None:
        changed = self._progress is None or self._progress.text != event.text
        self._progress = event
        if self._live or not changed:
            return None
        return f"  [dim]{escape(event.text)}[/]"

    def _printed(self, source: str, line: str) -> str | None:
        line = self.clean(plain(line)).rstrip()
        if not line:
            return None
        if self._live:
            self._lines.append(line)
            return None
        return f"  [dim]{escape(source)}: {escape(line)}[/]"

    def _moving(self) -> Group | Text:
        if not self._stage and not self._progress:
            return Text("")
        progress = self._progress
        text = escape(progress.text) if progress else self._stage
        if progress and progress.total:
            share = 100 * (progress.done or 0) / progress.total
            text += f" [dim]{progress.done:g}/{progress.total:g} {progress.unit} ({share:.0f} %)[/]"
        elapsed = duration(time.monotonic() - self._since)
        spinner = Spinner("dots", text=Text.from_markup(f"{text} [dim]{elapsed}[/]"), style="cyan")
        width = max(20, self._err.width - 4)
        return Group(spinner, *(Text(f"  {line[:width]}", style="dim", no_wrap=True) for line in self._lines))

    # -- results ------------------------------------------------------------------------------------------------

    def data(self, document: Any, text: str | None = None) -> None:
        """The command's result: `document` as one JSON document with `-o json`, else `text` (JSON when None)."""
        if self.output == "json" or text is None:
            self.raw(as_json(document))
        elif text:
            self.raw(plain(text))

    def raw(self, text: str) -> None:
        """A line or a block on stdout as it is, for pipes."""
        text = text if text.isascii() else _HALF.sub("\ufffd", text)  # no encoding has them
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A table on stdout."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(escape(plain(str(cell))) for cell in row))
        self._out.print(table, soft_wrap=False)

    def rows(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Lines of a label and a text on stdout; a style colours the text on a terminal."""
        for label, text, style in rows:
            self._out.print(self._row(label, text, style))

    def line(self, document: Any) -> None:
        """A document on a line of its own on stdout, for a stream of them."""
        self.raw(as_json(document, None))

    @contextmanager
    def refreshing(self) -> Iterator[Callable[[str, Sequence[tuple[str, str, str]], Sequence[bool]], None]]:
        """Gives what shows rows as `rows` does, again and again, under a headline, and marks those that changed.

        On a terminal the rows take the place of those before; elsewhere only changed ones follow, each with the time.
        """
        shown: list[bool] = []

        def print_(head: str, rows: Sequence[tuple[str, str, str]], changed: Sequence[bool]) -> None:
            if not shown:
                self.rows(rows)
                shown.append(True)
                return
            self.rows(
                (label, f"{text}  ({head.partition(',')[0]})", style)
                for (label, text, style), new in zip(rows, changed, strict=True)
                if new
            )

        if not self._out.is_terminal or self._out.is_dumb_terminal:
            yield print_
            return
        with Live(console=self._out, auto_refresh=False) as live:

            def replace(head: str, rows: Sequence[tuple[str, str, str]], changed: Sequence[bool]) -> None:
                lines = [
                    self._row(*row, mark="→ " if new else "  ")
                    for row, new in zip(rows, changed, strict=True)
                ]
                live.update(Group(Text(head, style="dim"), *lines), refresh=True)

            yield replace

    def _row(self, label: str, text: str, style: str, mark: str = "") -> Text:
        line = Text(mark, style="bold yellow" if mark.strip() else "").append(f"{label:<10} ", "dim")
        return line.append(Text(plain(self.clean(text)), style=f"not dim {style}"))

    def headed(self, head: str, mark: str, style: str, rows: Iterable[tuple[str, str]]) -> None:
        """A headline on stdout with a mark at its end, and below it labelled lines; a label stands once."""
        self._out.print(Text(plain(self.clean(head)), style=style).append(f" {mark}" if mark else "", "dim"))
        before = ""
        for label, text in rows:
            shown, before = ("" if label == before else label), label
            self._out.print(Text(f"  {shown:<6} ", style="dim").append(plain(self.clean(text)), "not dim"))

    def say(self, text: str, style: str = "") -> None:
        """A line for people, on stderr (nothing with `--log-format json`)."""
        if self.log_format == "text":
            self._err.print(escape(plain(text)), style=style)

    def summary(self, title: str, rows: Mapping[str, str], steps: Sequence[str] = ()) -> None:
        """The end of a long command, for people: what there is now, and what to try next."""
        if self.log_format == "json":
            return
        self._err.print(f"\n[bold green]{escape(title)}[/]")
        width = max((len(k) for k in rows), default=0)
        for key, value in rows.items():
            self._err.print(f"  [dim]{escape(key):<{width}}[/]  {escape(value)}")
        if steps:
            self._err.print("\n[bold]Try next[/]")
            for step in steps:
                self._err.print(f"  {escape(step)}")

    def error(self, error: DeployError) -> None:
        """An expected failure: on stderr for people; with `-o json` the one document on stdout."""
        shown = {k: self.clean(v) if v else v for k, v in error.as_dict().items()}
        shown["hint"] = self.completed(shown["hint"] or "")
        if self.log_format == "json":
            print(json.dumps({"time": round(time.time(), 3), "event": "error", **shown}), file=sys.stderr)  # noqa: T201
        else:
            self._err.print(
                f"[bold red]✗ {escape(plain(shown['message'] or ''))}[/] [dim]\\[{shown['code']}][/]"
            )
            for line in (shown["detail"] or "").splitlines():
                self._err.print(f"  [dim]│ {escape(plain(line))}[/]")
            self._err.print(f"  [bold]Next:[/] {escape(plain(shown['hint'] or ''))}")
        if self.output == "json":
            self.raw(as_json({"error": shown}, None if self.streams else 2))


def duration(seconds: float) -> str:
    """Seconds as people read them: `0.4 s`, `12 s`, `2 min 05 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def as_dict(value: Any) -> Any:
    """Dataclasses, all the way down, as JSON values."""
    return (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )


# What steers a terminal, and half of a character, which no encoding has.
_HALF = re.compile("[\ud800-\udfff]")
_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def as_json(value: Any, indent: int | None = 2) -> str:
    """JSON that keeps letters readable and holds nothing that steers a terminal."""
    text = json.dumps(value, indent=indent, default=str, ensure_ascii=False)
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(line: str) -> str:
    """A line without escape sequences: another program's output must not steer the terminal."""
    return visible(line)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
