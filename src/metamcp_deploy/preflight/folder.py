"""Checks the root folder of a target, and the release that would be uploaded there."""

from __future__ import annotations

from dataclasses import replace

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.preflight.access import Seen, granting, judged, readable
from metamcp_deploy.preflight.needs import Check, State
from metamcp_deploy.preflight.scene import Scene
from metamcp_deploy.release import releases
from metamcp_deploy.target import writers


def look(scene: Scene) -> list[Check]:
    """The folder, once for itself and once for what is sent there; the release's size."""
    root = scene.desired.root
    if not root:
        seen = Seen(State.UNKNOWN, "the app's code came from elsewhere, so that its root is not known", "")
        return [scene.check(need, seen) for need in ("root", "upload")]
    seen, path, object_id = _seen(scene, root)
    number = object_id or f"$(databricks workspace get-status {path} -o json | jq .object_id)"
    command = granting(scene.person, "directories", number, "CAN_MANAGE")
    first, sent = (scene.check(need, seen, thing=path, command=command) for need in ("root", "upload"))
    first = first if scene.project.settings.embedded else _with_writers(scene, first, root)
    return [first, *_size(scene), sent]


def _with_writers(scene: Scene, check: Check, root: str) -> Check:
    """The row of the root with who else may write there; a protected target lacks a root that is not everybody's."""
    found, settings = writers.look(scene.workspace, root), scene.project.settings
    refused = settings.protected and found.everybody
    return replace(
        check,
        state=State.MISSING if refused else check.state,
        detail=f"{check.detail}; {found}",
        ask=writers.OWN_FOLDER.format(target=settings.target) if refused else check.ask,
    )


def _seen(scene: Scene, root: str) -> tuple[Seen, str, str | None]:
    """How it stands, with the path of the folder that counts and its object id."""
    home = f"/Workspace/Users/{scene.person.name}"
    if f"{root}/".startswith(f"{home}/"):
        return Seen(State.HAD, f"{root} is in your home folder"), home, None
    path, found = root, None
    while found is None and path.count("/") > 1:
        try:
            found = scene.workspace.files.object_id(path)
        except DeployError as e:
            if e.code is not Code.PERMISSION_DENIED:
                raise
            return Seen(State.MISSING, f"you may not even read {path}"), path, None
        path = path if found else path.rsplit("/", 1)[0]
    if found is None:
        return Seen(State.UNKNOWN, f"nothing of {root} can be seen"), path, None
    number = found
    granted = readable(scene.person, lambda: scene.workspace.permissions.granted("directories", number))
    where = path if path == root else f"{path}, the nearest folder that is there"
    return judged(scene.person, granted, "CAN_MANAGE").about(where), path, found


def _size(scene: Scene) -> list[Check]:
    """Nothing where there is no working folder."""
    if scene.project.bare:
        return []
    try:
        built = releases.built(scene.project)
    except DeployError as e:
        if e.code is Code.STAGE_MISSING:
            return [scene.check("size", Seen(State.UNKNOWN, "nothing is built yet", "metamcp-deploy build"))]
        return [scene.check("size", Seen(State.MISSING, e.message, e.hint))]
    largest = max(built.sizes.values())
    return [scene.check("size", Seen(State.HAD, f"the largest file holds {largest:,} bytes"))]
