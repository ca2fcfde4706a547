"""Checks whether the app can be created or changed, deployed and opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metamcp_deploy.converge import ownership
from metamcp_deploy.converge.parts.app.ownership import Ownership, of_app
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.preflight.access import Seen, granting, judged, readable
from metamcp_deploy.preflight.needs import Check, State
from metamcp_deploy.preflight.scene import ONLY_AN_ATTEMPT, Scene
from metamcp_deploy.target import ledger, locate
from metamcp_deploy.target.desired import MARK
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App

# Of a workspace, by docs.databricks.com/aws and /gcp (en/resources/limits), and its counterpart for Azure.
MOST_APPS, MOST_APPS_ON_GCP = 100, 50


def look(scene: Scene) -> list[Check]:
    """The rows about the app, and about the login that opens it."""
    answers = scene.check("apps", Seen(State.HAD, "its API answers"))
    about = _present(scene, scene.app) if scene.app else _absent(scene)
    return [answers, *about, _oauth(scene)]


def refused(scene: Scene, error: DeployError) -> list[Check]:
    """The rows where the workspace has no Apps, or does not show this one.

    Raises:
        DeployError: the error itself, when it is another one.
    """
    if error.code is Code.FEATURE_MISSING:
        return [scene.check("apps", Seen(State.MISSING, error.message)), _oauth(scene)]
    if error.code is not Code.PERMISSION_DENIED:
        raise error
    seen = Seen(State.MISSING, "the app is there, and you may not even see it")
    return [
        scene.check("apps", Seen(State.HAD, "its API answers")),
        *(scene.check(need, seen, command=_granting(scene, level)) for need, level in _needs(scene)),
        _oauth(scene),
    ]


def _needs(scene: Scene) -> list[tuple[str, str]]:
    """The needs that are levels on the app itself."""
    grants = [("grants", "CAN_MANAGE")] if scene.desired.app.permissions else []
    return [("app", "CAN_MANAGE"), *grants, ("deploy", "CAN_MANAGE"), ("open", "CAN_USE")]


def _granting(scene: Scene, level: str) -> str:
    return granting(scene.person, "apps", scene.desired.app.name, level)


def _absent(scene: Scene) -> list[Check]:
    name, person, host = scene.desired.app.name, scene.person, scene.workspace.host
    if scene.project.bare or not scene.desired.app.managed:
        text = "there is no such app"
        if not scene.desired.app.managed:
            text += ", and `app.managed: false` leaves it to its owner"
        ask = f"Please make the app {name} in {host}, and give {person.name} CAN MANAGE on it."
        return [scene.check("app", Seen(State.MISSING, text, ask))]
    ask = f"May {person.name} make Databricks Apps in {host}? It is to make {name}."
    making = Seen(State.UNKNOWN, f"would be made; {ONLY_AN_ATTEMPT}", ask)
    if person.admin:
        making = Seen(State.HAD, "would be made")
    later = Seen(making.state, "whoever makes the app manages it", ask)
    return [
        scene.check("limit", _room(scene)),
        scene.check("name", Seen(State.HAD, f"there is no app {name}")),
        *(scene.check(need, making if need == "app" else later) for need, _ in _needs(scene)),
    ]


def _room(scene: Scene) -> Seen:
    count = len(scene.workspace.apps.names())
    most = MOST_APPS_ON_GCP if scene.workspace.login.on_gcp else MOST_APPS
    if count >= most:
        return Seen(State.MISSING, f"there are {count} apps, and a workspace holds {most}")
    if scene.person.admin:
        return Seen(State.HAD, f"there are {count} apps, and a workspace holds {most}")
    return Seen(State.UNKNOWN, f"you see {count} apps, perhaps not all; a workspace holds {most}")


def _present(scene: Scene, app: App) -> list[Check]:
    permissions = scene.workspace.permissions
    granted = readable(scene.person, lambda: permissions.granted("apps", app.name))
    checks = [scene.check("name", _name(scene, app))]
    for need, level in _needs(scene):
        seen = judged(scene.person, granted, level)
        if need in ("app", "deploy") and app.compute == "DELETING":
            text = "the app is being deleted, which takes up to 20 minutes"
            seen = Seen(State.MISSING, text, "Wait until it is gone, or choose another app.name.")
        checks.append(scene.check(need, seen, command=_granting(scene, level)))
    return checks


def _name(scene: Scene, app: App) -> Seen:
    desired = scene.desired
    if not desired.app.managed:
        return Seen(State.HAD, "the app is managed elsewhere, and only deployed to")
    if scene.project.bare:
        found = Ownership(bool(locate.root_of(app)) or MARK in str(app.raw.get("description") or ""), "")
    else:
        site = Site(scene.project, scene.workspace, desired.root)
        found = of_app(
            app, desired.root, ownership.proven(site, ownership.recognised(site, ledger.read(site)))
        )
    if found.ours:
        return Seen(State.HAD, "the app is ours")
    if found.usable(scene.person.name):
        return Seen(State.HAD, "you made the app, and it is adopted")
    creator = found.creator or "Somebody"
    if found.root:
        return Seen(
            State.MISSING, f"{creator} deploys it from {found.root}, this target's root is {desired.root}."
        )
    return Seen(State.MISSING, f"{creator} made the app, and not with metamcp-deploy.")


def _oauth(scene: Scene) -> Check:
    login = scene.workspace.login
    if login.oauth:
        return scene.check("oauth", Seen(State.HAD, f"{login.source}: {login.auth_type}"))
    return scene.check("oauth", Seen(State.MISSING, f"{login.source} logs in with {login.kind}"))
