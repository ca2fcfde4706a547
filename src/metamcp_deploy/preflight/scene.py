"""What the looks of a preflight know: who deploys what where, and the app as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from metamcp_deploy.config.project import Project
from metamcp_deploy.converge.parts.app import fields as app_fields
from metamcp_deploy.preflight.access import Person, Seen
from metamcp_deploy.preflight.needs import Check, State, all_needs, request
from metamcp_deploy.target import databases, desired, locate
from metamcp_deploy.target.desired import Desired, Secrets
from metamcp_deploy.target.site import root

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

ONLY_AN_ATTEMPT = "only an attempt can show it"


@dataclass(frozen=True)
class Scene:
    """A target of which nothing is changed.

    Attributes:
        project: with the target's settings.
        workspace: logged in.
        person: who is logged in.
        desired: how the target should be; where only the app is known, as it states.
        app: the app; None without one.
    """

    project: Project
    workspace: Workspace
    person: Person
    desired: Desired
    app: App | None = None

    @property
    def attached(self) -> bool:
        """Whether the app's resources are as they should be: then what they lead to is there."""
        return self.app is not None and not app_fields.unattached(self.app, self.desired.app)

    def check(self, need: str, seen: Seen, *, thing: str = "", command: str = "") -> Check:
        """A row about this target.

        Args:
            need: its id.
            seen: what a look found out.
            thing: what the permission is about, for the text to send.
            command: by which it is given, for the text to send.
        """
        named = {
            "me": self.person.name,
            "host": self.workspace.host,
            "app": self.desired.app.name,
            "thing": thing,
            "command": command,
            "detail": seen.detail,
        }
        ask = request(need, named) if seen.ask is None else seen.ask
        return row(need, seen.state, seen.detail, ask)


def row(need: str, state: State, detail: str, ask: str) -> Check:
    """A row; what to ask only where it is not had."""
    known = all_needs()[need]
    assert known.need  # noqa: S101 -- each file of knowledge/preflight has it
    whom = known.fix[0].ask or ""
    ask = "" if state is State.HAD else ask.strip()
    return Check(need, known.need.step, known.need.needs, state, detail, whom, ask)


def wanted(project: Project, app: App | None, me: str) -> Desired:
    """How the target should be. Where only the app's name is known, database, scope and root are what it has."""
    found = desired.of(project.settings, root(project.settings, me))
    if not project.bare:
        return found
    resources = app.resources if app else []
    return replace(
        found,
        root=(locate.root_of(app) if app else None) or "",
        app=replace(found.app, resources=tuple(resources), permissions=()),
        database=databases.attached(resources),
        secrets=_secrets(resources),
    )


def _secrets(resources: list[dict[str, dict[str, str]]]) -> Secrets:
    held = [resource["secret"] for resource in resources if "secret" in resource]
    scope = held[0].get("scope", "") if held else ""
    return Secrets(scope, True, frozenset(s["key"] for s in held if s.get("scope") == scope and "key" in s))
