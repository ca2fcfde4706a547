"""Checks Lakebase and the target's project or instance."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.preflight.access import Seen, granting, judged, readable
from metamcp_deploy.preflight.needs import Check, State
from metamcp_deploy.preflight.scene import ONLY_AN_ATTEMPT, Scene
from metamcp_deploy.target.access_lists import AccessList


def look(scene: Scene) -> list[Check]:
    """Both rows; none for an external database."""
    wanted, access = scene.desired.database, scene.desired.database.access_list
    if access is None:
        return []
    thing = f"{access.label} {access.name}"
    command = granting(scene.person, access.api, access.name, "CAN_MANAGE")
    try:
        seen = _seen(scene, wanted.find(scene.workspace), access).about(thing)
    except DeployError as e:
        if e.code is Code.FEATURE_MISSING:
            return [scene.check("lakebase", Seen(State.MISSING, e.message), thing=wanted.kind)]
        if e.code is not Code.PERMISSION_DENIED:
            raise
        seen = Seen(State.MISSING, f"{thing}: it is there, and you may not even see it")
    here = Seen(State.HAD, "its API answers")
    return [
        scene.check("lakebase", here, thing=wanted.kind),
        scene.check("database", seen, thing=f"the {thing}", command=command),
    ]


def _seen(scene: Scene, found: dict[str, Any] | None, access: AccessList) -> Seen:
    name = access.name
    if found is None and not scene.desired.database.managed:
        ask = f"Please make the {access.api.replace('-', ' ').removesuffix('s')} {name} in {scene.workspace.host}."
        return Seen(State.MISSING, "not there, and `database.managed: false` leaves it to its owner", ask)
    if found is None and (hindrance := scene.desired.database.hindrance(scene.workspace)):
        return Seen(State.MISSING, hindrance.message, hindrance.hint)
    if found is None:
        if scene.person.admin:
            return Seen(State.HAD, "would be made")
        ask = f"May {scene.person.name} make Lakebase databases in {scene.workspace.host}? It is to make {name}."
        return Seen(State.UNKNOWN, f"would be made; {ONLY_AN_ATTEMPT}", ask)
    if found.get("state") == "DELETING":
        text = "it is being deleted"
        return Seen(State.MISSING, text, "Wait until it is gone, or name another one in the settings.")
    grants = bool(scene.desired.database.permissions)
    if scene.attached and not grants:
        return Seen(State.HAD, "there, and attached to the app")
    granted = readable(scene.person, lambda: scene.workspace.permissions.granted(access.api, name))
    if grants and granted is None and not scene.person.admin:
        return Seen(State.MISSING, "you may not read its access list, as `database.permissions` needs")
    return judged(scene.person, granted, "CAN_MANAGE")
