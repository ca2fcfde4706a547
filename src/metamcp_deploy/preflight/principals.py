"""Checks that everybody whom the settings grant something exists; a misspelt name fails only after the app is made."""

from __future__ import annotations

from metamcp_deploy.config.declaration import PRINCIPALS
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.preflight.access import Seen
from metamcp_deploy.preflight.needs import Check, State
from metamcp_deploy.preflight.scene import Scene

_BUILT_IN = frozenset({"users", "admins", "account users"})
_LABELS = {
    "user_name": "user",
    "group_name": "group",
    "service_principal_name": "service principal",
}


def look(scene: Scene) -> list[Check]:
    """One row, where the settings grant anything; a request for each name."""
    named = sorted(
        {
            (kind, entry[kind])
            for on in scene.desired.access_lists
            for entry in on.permissions
            for kind in PRINCIPALS
            if kind in entry and entry[kind] not in _BUILT_IN
        }
    )
    if not named:
        return []
    known = {(kind, who): _known(scene, kind, who) for kind, who in named}
    seen = Seen(State.HAD, "everybody whom the settings grant something exists")
    if unread := [who for (_, who), found in known.items() if found is None]:
        seen = Seen(State.UNKNOWN, f"you may not look up {', '.join(unread)}")
    if nobody := [f"{_LABELS[kind]} {who}" for (kind, who), found in known.items() if found is False]:
        seen = Seen(State.MISSING, f"there is no {', no '.join(nobody)}")
    return [scene.check("principals", seen)]


def _known(scene: Scene, kind: str, who: str) -> bool | None:
    try:
        return scene.workspace.permissions.known(kind, who)
    except DeployError as e:
        if e.code not in (Code.PERMISSION_DENIED, Code.FEATURE_MISSING, Code.REQUEST_REFUSED):
            raise
        return None
