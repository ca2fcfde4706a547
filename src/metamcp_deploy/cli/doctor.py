"""`doctor`: what is wrong with a deployment, and what ends it."""

from __future__ import annotations

import difflib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metamcp_deploy.cli.options import AppOption, AutoApprove, Run, common
from metamcp_deploy.config.problems import FILE
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from metamcp_deploy.doctor.finding import Finding
    from metamcp_deploy.doctor.report import Report
    from metamcp_deploy.doctor.subject import Subject

_MARKS = {"error": "✗", "warning": "!", "note": "·"}
_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "dim"}
_EXPLAIN, _SCHEMA = "explain", "schema"
_WORDS = f"[{_EXPLAIN} ID | {_SCHEMA}]"


class FailOn(StrEnum):
    """The mildest level that counts as a failure."""

    error = "error"
    warning = "warning"
    note = "note"
    never = "never"


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar=_WORDS,
        help="Print the page of one known failure, or the JSON schema of `-o json`.",
        show_default=False,
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="CHECK", help="Only this check and what it needs; repeatable."),
]
Skip = Annotated[
    list[str] | None, typer.Option("--skip", metavar="CHECK", help="Leave this check out; repeatable.")
]


@common
def doctor(
    run: Run,
    words: Words = None,
    app: AppOption = None,
    only: Only = None,
    skip: Skip = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "-f",
            "--file",
            help="Check this metamcp.yaml against its workspace, before anything is deployed with it.",
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Only what needs no network.")] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Run the repairs, after asking; none drops or overwrites anything.")
    ] = False,
    auto_approve: AutoApprove = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking, and show what changes.")] = False,
    every: Annotated[
        float, typer.Option("--every", min=1, help="Seconds between two looks of --watch.")
    ] = 10,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", metavar="OUT.zip", help="Collect what a ticket needs, masked, into this file."
        ),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option("--log", metavar="FILE", help="Read this saved log, and nothing else; - is stdin."),
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="The mildest level for which the exit code is 1.")
    ] = FailOn.error,
) -> None:
    """Name what is wrong, the cause first, with evidence and a fix to paste. Changes nothing without --fix."""
    from metamcp_deploy import doctor as stage

    run.app = app
    if words:
        _printed(run, words)
        return

    if file:
        run.directory = _folder_of(run.here / file)
    if log is not None:
        _refuse_beside_log(fix=fix, watch=watch, bundle=bundle, only=only, skip=skip)
        report = _of_log(run, log)
        _show(run, report)
        if _fails(report, fail_on):
            raise typer.Exit(1)
        return

    def look() -> Report:
        with run.console.following():
            return stage.look(
                lambda: run.project,
                only=only or (),
                skip=skip or (),
                offline=offline,
                before=file is not None,
            )

    if watch:
        _watch(run, look, every)
        return
    if bundle:
        report = _bundled(run, bundle, stage.examined(lambda: run.project, only=only or (), skip=skip or ()))
    else:
        report = look()
    if fix and _repaired(run, report, auto_approve):
        report = look()
    _show(run, report)
    if _fails(report, fail_on):
        raise typer.Exit(1)


def _folder_of(file: Path) -> Path:
    """The folder of a configuration.

    Raises:
        DeployError: USAGE, where the file has another name: each command takes it from its folder.
    """
    if file.name != FILE or not file.is_file():
        what = "is no file" if file.name == FILE else f"is not called {FILE}"
        raise DeployError(Code.USAGE, f"{file} {what}.", hint=f"metamcp-deploy doctor -f FOLDER/{FILE}")
    return file.parent


def _printed(run: Run, words: list[str]) -> None:
    """What `explain ID` and `schema` print.

    Raises:
        DeployError: USAGE.
    """
    from metamcp_deploy import knowledge
    from metamcp_deploy.doctor.report import schema
    from metamcp_deploy.knowledge import page
    from metamcp_deploy.knowledge.place import Place

    match words:
        case ["schema"]:
            run.console.data(schema())
        case ["explain", id_]:
            known = knowledge.find(id_)
            if known is None:
                near = difflib.get_close_matches(id_, knowledge.ids(), 3)
                hint = f"Near it: {', '.join(near)}. " if near else ""
                raise DeployError(
                    Code.USAGE,
                    f"No known failure is called {id_}.",
                    hint=f"{hint}All of them: docs/diagnoses.md",
                )
            run.console.data(known.model_dump(mode="json"), page.explained(known, Place(target="TARGET")))
        case _:
            raise DeployError(
                Code.USAGE,
                f"`{' '.join(words)}` is nothing that doctor prints.",
                hint="metamcp-deploy doctor explain ID, or metamcp-deploy doctor schema",
            )


def _of_log(run: Run, name: str) -> Report:
    """The report of a saved log."""
    from metamcp_deploy.deployments.log import saved
    from metamcp_deploy.doctor import saved_log

    if name == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="replace", newline="\n")
        return saved_log.look(saved.lines(sys.stdin), "on stdin", run.console.redactor)
    path = run.here / name
    if not path.exists():
        raise DeployError(
            Code.FILE_ACCESS,
            f"The log {path} is not there.",
            hint="Save what this prints in a file, or pipe it into `doctor --log -`: metamcp-deploy logs -o json",
        )
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        return saved_log.look(saved.lines(file), name, run.console.redactor)


def _refuse_beside_log(**others: object) -> None:
    for option, given in others.items():
        if given:
            raise DeployError(
                Code.USAGE,
                f"--log reads a file alone: --{option} has no meaning beside it.",
                hint="metamcp-deploy doctor --log FILE",
            )


def _bundled(run: Run, path: Path, examined: AbstractContextManager[tuple[Report, Subject]]) -> Report:
    """Writes the bundle; the report is shown as without it."""
    from metamcp_deploy.doctor import bundle

    with run.console.following(), examined as (report, subject):
        manifest = bundle.write(run.here / path, report, subject, run.console.redactor)
    missing = [one["file"] for one in manifest["files"] if one["status"] == "missing"]
    parts = len(manifest["files"]) - len(missing)
    run.console.say(
        f"{path}: {parts} files, {manifest['masked']} values masked"
        + (f"; without {', '.join(missing)}" if missing else "")
    )
    return report


def _repaired(run: Run, report: Report, auto_approve: bool) -> bool:
    """Runs the repairs that somebody wants; whether one was run."""
    from metamcp_deploy.doctor import repair

    done = False
    for one in repair.of(report):
        ends = ", ".join(finding.id for finding in one.ends)
        run.console.say(f"{one.ends[0].summary}. A repair of {ends}: {one.command}")
        if not auto_approve:
            if not sys.stdin.isatty():
                raise DeployError(
                    Code.USAGE,
                    "Repairs without a terminal need your word.",
                    hint="Say it with --auto-approve, or run the command yourself.",
                    detail=one.command,
                )
            if not typer.confirm("Run it?", err=True):
                continue
        _run(run, one.words)
        done = True
    if not done:
        run.console.say("Nothing here has a repair that could be run.", "dim")
    return done


def _run(run: Run, words: list[str]) -> None:
    """Another command of this tool, in the same folder, with all that this one has to log in; it may fail."""
    from metamcp_deploy import process

    folder = [] if run.project.bare else ["-C", str(run.folder)]
    command = [sys.executable, "-m", "metamcp_deploy", *words, *folder]
    with run.console.following():
        ended = process.run(command, cwd=run.here, env=os.environ, source=words[0], check=False)
    if ended.returncode:
        run.console.say(
            f"{words[0]} failed with exit code {ended.returncode}; its words are above.", "yellow"
        )


def _watch(run: Run, look: Callable[[], Report], every: float) -> None:
    """Looks until Ctrl-C; shows the report whenever its findings change."""
    run.streams = run.console.streams = True
    before: list[tuple[str, str]] | None = None
    while True:
        report = look()
        now = [(finding.id, finding.level.value) for finding in report.findings]
        if now != before:
            if run.output != "json":
                run.console.say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", "bold")
                _changes(run, before, now)
            _show(run, report)
        before = now
        time.sleep(every)


def _changes(run: Run, before: list[tuple[str, str]] | None, now: list[tuple[str, str]]) -> None:
    old, new = {id_ for id_, _ in before or ()}, {id_ for id_, _ in now}
    for words, ids in (("new", new - old if before is not None else set()), ("over", old - new)):
        if ids:
            run.console.say(f"{words}: {', '.join(sorted(ids))}")


def _fails(report: Report, fail_on: FailOn) -> bool:
    if fail_on is FailOn.never or report.worst is None:
        return False
    return report.worst.rank <= list(FailOn).index(fail_on)


def _show(run: Run, report: Report) -> None:
    if run.output == "json":
        from metamcp_deploy.console import as_json

        document = run.console.redactor.value(report.as_dict())
        run.console.raw(as_json(document, None if run.streams else 2))
        return
    for finding in report.findings:
        mark = f"{_MARKS[finding.level]} {finding.summary}"
        run.console.headed(mark, f"[{finding.id}]", _STYLES[finding.level], list(_details(finding)))
    skipped = [outcome for outcome in report.outcomes if outcome.skipped]
    well = sum(not outcome.skipped and not outcome.findings for outcome in report.outcomes)
    for why in dict.fromkeys(outcome.skipped for outcome in skipped):
        titles = [outcome.check.title for outcome in skipped if outcome.skipped == why]
        run.console.headed(f"– skipped: {', '.join(titles)}: {why}", "", "dim", [])
    counts = [f"{well} checks found nothing"] + ([f"{len(skipped)} skipped"] if skipped else [])
    run.console.raw(f"{', '.join(counts)}; {report.seconds:.1f} s")


def _details(finding: Finding) -> Iterator[tuple[str, str]]:
    for line in finding.evidence:
        yield "seen", line
    if finding.cause:
        yield "cause", finding.cause
    for step in finding.fix:
        if step.do:
            yield "fix", step.do if not step.run else f"{step.do.rstrip('.:')}:"
        if step.run:
            yield "fix", f"  {step.run}"
