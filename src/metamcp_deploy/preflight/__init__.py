"""`preflight`: the rights and resources a deployment needs, and whether this login has them. Only reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.preflight import app, database, folder, principals, secrets
from metamcp_deploy.preflight.access import Person
from metamcp_deploy.preflight.needs import Check, State, all_needs, request
from metamcp_deploy.preflight.scene import Scene, row, wanted
from metamcp_deploy.target import session
from metamcp_deploy.workspace import ApiError

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace

_LOGIN = ("host", "address", "login")
# Which need a failed login is about.
_BLAMED = {
    Code.CONFIG_INVALID: "host",
    Code.HOST_MISMATCH: "host",
    Code.LOCAL_DOWN: "host",
    Code.WORKSPACE_UNREACHABLE: "host",
    Code.WORKSPACE_ANSWER: "host",
    Code.ADDRESS_REFUSED: "address",
    Code.AUTH_FAILED: "login",
    Code.PERMISSION_DENIED: "login",
}


@dataclass(frozen=True)
class Report:
    """What was found out.

    Attributes:
        target: of the settings.
        host: of the workspace, as far as known; empty for an embedded one that is not made yet.
        me: who is logged in; empty when nobody is.
        checks: in the order of a deployment's steps.
    """

    target: str
    host: str
    me: str
    checks: tuple[Check, ...]

    @property
    def missing(self) -> list[Check]:
        """What keeps a deployment from working."""
        return [check for check in self.checks if check.state is State.MISSING]

    @property
    def unknown(self) -> list[Check]:
        """What only an attempt can show."""
        return [check for check in self.checks if check.state is State.UNKNOWN]

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        checks = [check.as_dict() for check in self.checks]
        counts = {"missing": len(self.missing), "unknown": len(self.unknown)}
        return {"target": self.target, "host": self.host, "me": self.me, **counts, "checks": checks}


def look(project: Project) -> Report:
    """Finds out how it stands with everything that a deployment of the target needs.

    Whatever the workspace answers, it ends with a report: a row names what failed.

    Raises:
        DeployError: what is about this machine or the settings, and not about the workspace.
    """
    target = project.settings.target
    try:
        workspace = session.connect_or_unmade(project)
        person = Person.of(workspace.identity)
    except DeployError as e:
        if e.code not in _BLAMED and not isinstance(e, ApiError):
            raise
        return Report(target, project.settings.workspace.host or "", "", tuple(_no_login(project, e)))
    events.emit(events.Progress(f"looks at {workspace.host} as {person.name}"))
    here, answers, host = workspace.host, "it answers", workspace.host
    if session.unmade(project):
        here = f"no embedded workspace is made here yet; `metamcp-deploy deploy -t {target}` makes it"
        answers, host = "it will be on this machine", ""
    logged_in = [row("host", State.HAD, here, ""), row("address", State.HAD, answers, "")]
    kind = "a workspace admin" if person.admin else "no workspace admin"
    logged_in.append(row("login", State.HAD, f"{person.name}, {kind}", ""))
    checks = [*logged_in, *_looked(project, workspace, person)]
    return Report(target, host, person.name, tuple(sorted(checks, key=_step)))


def _looked(project: Project, workspace: Workspace, person: Person) -> list[Check]:
    about_app: Callable[[Scene], list[Check]] = app.look
    scene = Scene(project, workspace, person, wanted(project, None, person.name))
    try:
        found = workspace.apps.find(project.settings.app.name)
    except DeployError as e:
        failure = e
        about_app = lambda seen: app.refused(seen, failure)  # noqa: E731
    else:
        scene = replace(scene, app=found, desired=wanted(project, found, person.name))
    areas = {
        about_app: ("apps", "app", "deploy", "open"),
        folder.look: ("root", "upload"),
        database.look: ("lakebase", "database"),
        secrets.look: ("scope", "keys"),
        principals.look: ("principals",),
    }
    with ThreadPoolExecutor(4, thread_name_prefix="preflight") as pool:
        looks = [pool.submit(_rows, area, scene, needs) for area, needs in areas.items()]
        return [check for done in looks for check in done.result()]


def _rows(area: Callable[[Scene], list[Check]], scene: Scene, needs: Sequence[str]) -> list[Check]:
    """The rows of an area; where the workspace refuses or stops answering, that it could not be looked at."""
    try:
        return area(scene)
    except DeployError as e:
        if e.code is Code.INTERRUPTED:
            raise
        return [row(need, State.UNKNOWN, f"could not be looked at: {e.message}", e.hint) for need in needs]


def _step(check: Check) -> int:
    return list(all_needs()).index(check.id)


def _no_login(project: Project, error: DeployError) -> list[Check]:
    """The rows without a login: what failed, what was all right until there, and that the rest was not looked at."""
    blamed = _BLAMED.get(error.code, "login")
    host = project.settings.workspace.host or "the login's host"
    checks = []
    for need in _LOGIN:
        if need == blamed:
            said = f"{error.message} {error.detail or ''}".strip()
            named = {"app": project.settings.app.name, "host": host, "detail": said}
            asked = f"{request(need, named)}\n{error.hint}"
            checks.append(row(need, State.MISSING, error.message, asked))
        elif need == "host" and blamed == "address":
            checks.append(row(need, State.HAD, "it answers", ""))
        else:
            checks.append(row(need, State.UNKNOWN, "the login failed", ""))
    rest = [need for need in all_needs() if need not in _LOGIN]
    return [*checks, *(row(need, State.UNKNOWN, "not looked at: there is no login", "") for need in rest)]
