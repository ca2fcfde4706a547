"""Uploads a release to a workspace, completely or invisibly.

One id can have several builds: their archives hold the same files, packed by different versions of zlib. The parts of
one build do not match the release.json of another. So a release in the workspace is always of one build: release.json
is uploaded first and identifies it, and a complete release is never replaced, whoever built it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import checking
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


def discard(workspace: Workspace, root: str, release: str) -> None:
    """Deletes a release that is not what its id says, the marker first. The caller holds the lock.

    Raises:
        DeployError: RELEASE_ALTERED, saying what was wrong; returns when nothing is.
    """
    path, why = path_of(root, release), checking.difference(workspace, root, release)
    if why is None:
        return
    workspace.files.delete(f"{path}/{COMPLETE}")
    workspace.files.delete(path, recursive=True)
    raise DeployError(
        Code.RELEASE_ALTERED,
        f"{path} {why}: it did not arrive as it was sent, or somebody changed it since. It was deleted.",
        hint="Run the same command again: it sends the release. Look in the workspace who may write there.",
    )
