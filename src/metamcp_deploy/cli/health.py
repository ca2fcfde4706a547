"""`health`: whether the app serves; for people, for programs, and for monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from metamcp_deploy.cli.options import AppOption, Run, Wait, common
from metamcp_deploy.errors import DeployError

if TYPE_CHECKING:
    from metamcp_deploy.doctor.deep import Line
    from metamcp_deploy.health import Report

_MARKS = ("✓", "!", "✗", "?")  # by the state's number


class Form(StrEnum):
    """Who reads the result."""

    text = "text"
    prometheus = "prometheus"
    nagios = "nagios"


Deep = Annotated[
    bool,
    typer.Option(
        "--deep", help="Also a page, migrations, credential, pool, and each endpoint with its tools."
    ),
]
Format = Annotated[
    Form, typer.Option("--format", help="For a textfile collector, or as a plugin with exit codes 0 to 3.")
]


@common
def health(
    run: Run, app: AppOption = None, wait: Wait = 0, deep: Deep = False, form: Format = Form.text
) -> None:
    """Ask the app how it is; exit code 0 only when it is healthy."""
    run.app = app
    if form is not Form.text and run.output == "json":
        raise typer.BadParameter("Give --format or -o json.")
    if form is Form.nagios:
        raise typer.Exit(_plugin(run, wait, deep))
    report, failure, more = _looked(run, wait, deep)
    if form is Form.prometheus:
        run.console.raw(_metrics(run, report, more))
    else:
        _show(run, report, failure, more)


def _looked(run: Run, wait: float, deep: bool) -> tuple[Report, DeployError | None, list[Line]]:
    """The health, why it is not good, and the deep checks where the app answers."""
    from metamcp_deploy.deployments import access
    from metamcp_deploy.knowledge.place import Place
    from metamcp_deploy.target import session

    more: list[Line] = []
    with run.console.following(), session.shared():
        report = access.healthy(run.project, wait)
        if deep and report.checks[0].ok:
            from metamcp_deploy.doctor import deep as checks
            from metamcp_deploy.doctor.subject import Subject

            subject = Subject(lambda: run.project)
            try:
                more = checks.look(subject)
            finally:
                subject.close()
    return report, report.failure(Place.of(run.project)), more


def _show(run: Run, report: Report, failure: DeployError | None, more: Sequence[Line]) -> None:
    broken = any(line.state == 2 for line in more)
    document = report.as_dict() | ({"deep": [line.as_dict() for line in more]} if more else {})
    document |= {"error": run.shown(failure)} if failure else {}
    lines = [f"{report.status.value}  {report.url}"]
    lines += [f"  {c.http} GET {c.path}  {1000 * c.seconds:.0f} ms" for c in report.checks if c.path]
    lines += [f"  {_MARKS[one.state]} {one.name}: {one.said}  {1000 * one.seconds:.0f} ms" for one in more]
    if failure and run.output != "json":
        if more:
            run.console.raw("\n".join(lines))
        raise failure
    run.console.data(document, "\n".join(lines))
    if broken and not failure:
        run.console.say(run.console.completed("Name the cause: metamcp-deploy doctor"))
    if failure or broken:
        raise typer.Exit(1)


def _metrics(run: Run, report: Report, more: Sequence[Line]) -> str:
    """With exit code 0 also for an app that is down: a file of metrics that is not written says less."""
    from metamcp_deploy.cli.views import monitoring
    from metamcp_deploy.doctor import deep as checks

    settings = run.project.settings
    labels = {"app": settings.app.name, "target": "" if run.project.bare else settings.target}
    lines = [*checks.of_report(report), *more]
    state = monitoring.worst(lines, checks.state_of(report.status))
    return monitoring.prometheus(labels, state, report.status.value, lines)


def _plugin(run: Run, wait: float, deep: bool) -> int:
    """Prints the line and gives the exit code; where this tool cannot look, the app is UNKNOWN."""
    from metamcp_deploy.cli.views import monitoring
    from metamcp_deploy.doctor import deep as checks
    from metamcp_deploy.doctor.deep import State

    try:
        report, failure, more = _looked(run, wait, deep)
    except DeployError as e:
        run.console.raw(monitoring.nagios(State.UNKNOWN, run.cleaned(e.message), []))
        return State.UNKNOWN
    lines = [*checks.of_report(report), *more]
    state = monitoring.worst(lines, checks.state_of(report.status))
    name = run.project.settings.app.name
    said = f"{name} is {report.status.value}, {len(lines)} checks"
    said = "; ".join([said, *(f"{one.name}: {one.said}" for one in more if one.state)])
    text = run.cleaned(f"{name}: {failure.message}" if failure else said)
    run.console.raw(monitoring.nagios(state, text, lines))
    return state
