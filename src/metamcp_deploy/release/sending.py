"""Uploads a release to a workspace, completely or invisibly, and reads it back on request.

One id can have several builds: their archives hold the same files, packed by different versions of zlib. The parts of
one build do not match the release.json of another. So a release in the workspace is always of one build: release.json
is uploaded first and identifies it, and a complete release is never replaced, whoever built it.
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
class Uploaded:
    """What a workspace has of a release.

    Attributes:
        complete: it has all files, of this machine's build or of another.
        missing: names of the files to send: all, unless the existing ones are of this build.
        marked: the marker exists, whether the release is complete or not.
    """

    complete: bool = False
    missing: tuple[str, ...] = ()
    marked: bool = False


def look(workspace: Workspace, root: str, release: Release) -> Uploaded:
    """One request for a complete or absent release; up to three more for a partial one or another machine's build."""
    path = path_of(root, release.id)
    sizes = workspace.files.sizes(path)
    absent, marked = missing(release.sizes, sizes), COMPLETE in sizes
    if marked and (not absent or is_complete(workspace, root, release.id)):
        return Uploaded(complete=True)
    there = workspace.files.read(f"{path}/{_ABOUT}") if _ABOUT in sizes else None
    same = there == release.files[_ABOUT].read_bytes()
    return Uploaded(missing=tuple(absent if same else release.files), marked=marked)


def send(workspace: Workspace, root: str, release: Release, uploaded: Uploaded) -> None:
    """Sends the missing files of a release, and its marker last.

    Args:
        workspace: logged in.
        root: of the target.
        release: the built one.
        uploaded: as `look` returned it.

    Raises:
        DeployError: WORKSPACE_ANSWER, when a file in the workspace differs from the one sent.
    """
    path, sizes = path_of(root, release.id), release.sizes
    total, sent = sum(sizes[n] for n in uploaded.missing), 0
    events.emit(events.Progress("sends the release", 0, total / 1e6, "MB"))

    def on_sent(_: str, count: int) -> None:
        nonlocal sent
        sent += count
        events.emit(events.Progress("sends the release", round(sent / 1e6, 1), round(total / 1e6, 1), "MB"))

    if uploaded.marked:  # nobody may start it while its files are being replaced
        workspace.files.delete(f"{path}/{COMPLETE}")
    workspace.files.send(path, {n: release.files[n] for n in uploaded.missing}, on_sent, first=_ABOUT)
    if wrong := missing(sizes, workspace.files.sizes(path)):
        raise DeployError(
            Code.WORKSPACE_ANSWER,
            f"{path}/{wrong[0]} did not arrive as it was sent.",
            hint="Run the same command again: it sends what is missing.",
        )
    about(workspace, root, release.id)
    marker = {"release": release.id, "files": sizes}
    workspace.files.write(f"{path}/{COMPLETE}", json.dumps(marker, indent=1).encode())
    events.emit(
        events.Changed(
            "sent", "release", f"{release.id} ({len(uploaded.missing)} files, {total / 1e6:.1f} MB)"
        )
    )


def altered(workspace: Workspace, root: str, release: Release) -> list[str]:
    """Reads every file of a release in the workspace. Returns those that differ from what was sent."""
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
    """Digests in the release.json of another build in the workspace; empty when it is of this build."""
    if content is None or content == release.files[_ABOUT].read_bytes():
        return {}
    try:
        stated: dict[str, Any] = json.loads(content)
        files = {str(name): str(file["sha256"]) for name, file in stated["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    if stated.get("id") != release.id or not set(files) <= set(release.files):
        return {}
    return {**files, _ABOUT: fingerprint.of_bytes(content)}


def discard(workspace: Workspace, root: str, release: Release) -> None:
    """Deletes the altered files of a release, which makes it incomplete. The caller holds the lock.

    Raises:
        DeployError: WORKSPACE_ANSWER, naming the deleted files; returns when there are none.
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
