"""A release on its way into a workspace: sent where it is missing, whole or invisible, and read back on request.

One id may stand for several builds: their archives hold the same files, packed by other versions of zlib. The parts of
two builds do not fit each other's release.json, so a release in the workspace is always of one build: release.json goes
first and says of which, and a whole one is left alone whoever built it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events, fingerprint
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.releases import COMPLETE, Release, about, is_complete, missing, path_of

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace

_ABOUT = "release.json"


@dataclass(frozen=True)
class Present:
    """What the workspace holds of a release.

    Attributes:
        whole: it is complete, as this machine built it or as another did.
        lacking: names of the files to send: all, unless those that are there are of the same build.
        marked: the marker is there, whole or not.
    """

    whole: bool = False
    lacking: tuple[str, ...] = ()
    marked: bool = False


def look(workspace: Workspace, root: str, release: Release) -> Present:
    """One request where the release is whole or not there; up to three more where it is neither, or built elsewhere."""
    path = path_of(root, release.id)
    sizes = workspace.files.sizes(path)
    lacking, marked = missing(release.sizes, sizes), COMPLETE in sizes
    if marked and (not lacking or is_complete(workspace, root, release.id)):
        return Present(whole=True)
    there = workspace.files.read(f"{path}/{_ABOUT}") if _ABOUT in sizes else None
    same = there == release.files[_ABOUT].read_bytes()
    return Present(lacking=tuple(lacking if same else release.files), marked=marked)


def send(workspace: Workspace, root: str, release: Release, present: Present) -> None:
    """Sends what of a release is not there, and its marker last.

    Args:
        workspace: logged in.
        root: of the target.
        release: the built one.
        present: what is there.

    Raises:
        DeployError: WORKSPACE_ANSWER, when a file is not there as it was sent.
    """
    path, sizes = path_of(root, release.id), release.sizes
    total, sent = sum(sizes[n] for n in present.lacking), 0
    events.emit(events.Progress("sends the release", 0, total / 1e6, "MB"))

    def on_sent(_: str, count: int) -> None:
        nonlocal sent
        sent += count
        events.emit(events.Progress("sends the release", round(sent / 1e6, 1), round(total / 1e6, 1), "MB"))

    if present.marked:  # nobody may start it while its files are being replaced
        workspace.files.delete(f"{path}/{COMPLETE}")
    workspace.files.send(path, {n: release.files[n] for n in present.lacking}, on_sent, first=_ABOUT)
    if wrong := missing(sizes, workspace.files.sizes(path)):
        raise DeployError(
            Code.WORKSPACE_ANSWER,
            f"{path}/{wrong[0]} did not arrive as it was sent.",
            hint="Run the same command again: it sends what is missing.",
        )
    about(workspace, root, release.id)
    told = {"release": release.id, "files": sizes}
    workspace.files.write(f"{path}/{COMPLETE}", json.dumps(told, indent=1).encode())
    events.emit(
        events.Changed(
            "sent", "release", f"{release.id} ({len(present.lacking)} files, {total / 1e6:.1f} MB)"
        )
    )


def altered(workspace: Workspace, root: str, release: Release) -> list[str]:
    """Reads every file of a release in the workspace: those that are not what was sent, by whoever sent it."""
    path = path_of(root, release.id)
    events.emit(events.Progress("reads the release back"))
    found = workspace.files.contents(f"{path}/{name}" for name in release.files)
    wanted = {name: fingerprint.of_file(local) for name, local in release.files.items()}
    wanted |= _described(found[f"{path}/{_ABOUT}"], release)
    wrong = [
        name
        for name, digest in wanted.items()
        if (content := found.get(f"{path}/{name}")) is None or fingerprint.of_bytes(content) != digest
    ]
    if not wrong:
        text = f"All {len(found)} files of release {release.id} are in the workspace as they were sent."
        events.emit(events.Note(text))
    return wrong


def _described(content: bytes | None, release: Release) -> dict[str, str]:
    """Digests as another build's release.json in the workspace states them; of its own the local files tell."""
    if content is None or content == release.files[_ABOUT].read_bytes():
        return {}
    try:
        told: dict[str, Any] = json.loads(content)
        files = {str(name): str(file["sha256"]) for name, file in told["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    if told.get("id") != release.id or not set(files) <= set(release.files):
        return {}
    return {**files, _ABOUT: fingerprint.of_bytes(content)}


def discard(workspace: Workspace, root: str, release: Release) -> None:
    """Deletes the altered files of a release, which counts as incomplete from then on. The caller holds the lock.

    Raises:
        DeployError: WORKSPACE_ANSWER, naming them; nothing when there are none (any more).
    """
    path, wrong = path_of(root, release.id), altered(workspace, root, release)
    if not wrong:
        return
    for name in (COMPLETE, *wrong):
        workspace.files.delete(f"{path}/{name}")
    raise DeployError(
        Code.WORKSPACE_ANSWER,
        f"{', '.join(wrong)} in {path} did not arrive as sent, or was changed since; it was deleted.",
        hint="Run the same command again: it sends what is missing.",
    )
