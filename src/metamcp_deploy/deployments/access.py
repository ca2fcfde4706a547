"""What is done with an app that is deployed: how it is, what it logs, a token that opens it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from metamcp_deploy import health
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import telling_lines
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.events import LogLine
from metamcp_deploy.target import session

if TYPE_CHECKING:
    from metamcp_deploy.deployments.log.view import Shown, Wishes
    from metamcp_deploy.redaction import Redactor
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App
    from metamcp_deploy.workspace.logs import Logs

_AT_ONCE = 2000  # lines of a table

# An answer that does not say why: the app's log does.
_CAUSE_IN_LOG = frozenset({health.Status.DATABASE_DOWN, health.Status.NOT_LISTENING})


def healthy(project: Project, wait: float = 0) -> health.Report:
    """Looks how the target's app is, for up to `wait` seconds until it is healthy; gives what was found last.

    Raises:
        DeployError: NOT_FOUND, NOT_DEPLOYED, and those of the login. An unhealthy app is a report, not an error.
    """
    workspace = session.connect(project)
    return check(workspace, workspace.apps.get(project.settings.app.name), wait)


def check(workspace: Workspace, app: App, wait: float = 0) -> health.Report:
    """As `healthy`, of an app that was just looked at."""
    from metamcp_deploy.workspace.apps import NO_PROCESS

    if app.compute in NO_PROCESS:
        return health.stopped(app.url, app.compute)
    if not app.url:
        raise DeployError(
            Code.NOT_DEPLOYED,
            f"The app {app.name} in {workspace.host} has no URL yet.",
            hint="metamcp-deploy deploy",
        )
    if app.state == "CRASHED":
        said = telling_lines.last(_last_lines(workspace, app.name))
        return replace(health.crashed(app.url, app.message), log=said)
    http = workspace.network.requests_session()
    report = health.check(app.url, workspace.app_headers, http, wait=wait, clock=workspace.clock)
    if report.status in _CAUSE_IN_LOG:
        return replace(report, log=telling_lines.of_now(_last_lines(workspace, app.name)))
    return report


def _last_lines(workspace: Workspace, name: str) -> tuple[LogLine, ...]:
    """What the app said last; empty where its log cannot be read, which the report need not wait for."""
    from metamcp_deploy.workspace.logs import Logs

    try:
        return tuple(Logs(workspace, name).lines(last=telling_lines.READ))
    except DeployError:
        return ()


def logs(project: Project, wishes: Wishes, redactor: Redactor) -> Iterator[Sequence[Shown]]:
    """The lines of the target's app's log that are asked for, as they come; empty while nothing comes.

    Raises:
        DeployError: USAGE, NOT_FOUND, AUTH_FAILED, LOG_STREAM.
    """
    from metamcp_deploy.deployments.log.view import Tail, View
    from metamcp_deploy.workspace.logs import Logs

    view, tail = View(wishes, redactor), Tail(wishes.last)
    workspace = session.connect(project)
    reader = Logs(workspace, project.settings.app.name, search=wishes.search, source=wishes.source)
    past, older = True, wishes.since
    for batch in _readable(reader, wishes):
        past = past and batch is not None
        first = next((line.timestamp for line in batch or () if line.timestamp is not None), None)
        ends = time.time() if batch is None else first
        if older is not None and ends is not None:
            if older < ends:
                for before in _of_telemetry(project, workspace, older, min(ends, wishes.until or ends)):
                    yield tail.add(view.batch(before))
            older = None
        yield tail.end() if batch is None else tail.add(view.batch(batch))
        if wishes.until is not None and not past and time.time() > wishes.until:
            return  # it follows, and nothing that is wanted can come any more
    yield tail.end()


def _readable(reader: Logs, wishes: Wishes) -> Iterator[list[LogLine] | None]:
    """The stream; where it cannot be read and older lines are asked for, its end comes before the failure."""
    read = False
    try:
        for batch in reader.batches(follow=wishes.follow):
            read = True
            yield batch
    except DeployError as e:
        if e.code is Code.LOG_STREAM and wishes.since is not None and not read:
            yield None
        raise


def _of_telemetry(
    project: Project, workspace: Workspace, since: float, until: float
) -> Iterator[list[LogLine]]:
    """In batches."""
    from metamcp_deploy.deployments.log import telemetry

    lines = telemetry.lines(project, workspace, since, until)
    while batch := list(islice(lines, _AT_ONCE)):
        yield batch


def token(project: Project) -> str:
    """An OAuth token that opens the target's app.

    Raises:
        DeployError: AUTH_FAILED, also when the login is not OAuth.
    """
    return session.connect(project).token()
