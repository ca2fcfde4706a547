"""Reads a release back from a workspace and holds it against its id, not against the release.json beside it.

Others may be able to write to the folder. Whatever else lies in it is refused, too: with a package.json the platform
installs and builds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events, fingerprint
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import identity
from metamcp_deploy.release.identity import OtherReleaseError
from metamcp_deploy.release.releases import COMPLETE, LARGEST_BYTES, path_of

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import Deployment
    from metamcp_deploy.workspace.files import Entry

_KNOWN = frozenset({*identity.RUN, *identity.BESIDE, COMPLETE})
# What makes the platform install, build, or read another manifest. A snapshot may hold more that is the platform's own.
_INSTALLS = frozenset(
    {
        *("package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock"),
        *("requirements.txt", "pyproject.toml", "uv.lock", "node_modules", "app.yml"),
    }
)
_UNREADABLE = frozenset({Code.PERMISSION_DENIED, Code.NOT_FOUND})


def difference(workspace: Workspace, root: str, release: str) -> str | None:
    """Why what lies in a target's folder of a release is not that release, to follow its path; None where it is."""
    try:
        _read(workspace, path_of(root, release), release)
    except OtherReleaseError as e:
        return str(e)
    return None


def checked(workspace: Workspace, root: str, release: str, trusted: str | None, hint: str) -> dict[str, Any]:
    """The release.json of a release that is about to be deployed. One listing, and one request for each file that runs.

    Args:
        workspace: logged in.
        root: of the target.
        release: its id.
        trusted: what stands in for what an id of format 1 leaves out: the id, named by a person, or the SHA-256 of the
            release.json that was built here.
        hint: how a person names the id.

    Raises:
        DeployError: RELEASE_ALTERED; RELEASE_UNPROVEN for a release of format 1 without `trusted`.
    """
    events.emit(events.Progress(f"checks release {release} in the workspace"))
    path = path_of(root, release)
    try:
        about, digest = _read(workspace, path, release)
    except OtherReleaseError as e:
        raise DeployError(
            Code.RELEASE_ALTERED,
            f"{path} {e}: it did not arrive as it was sent, or somebody changed it since. It was not deployed.",
            hint="Look in the workspace who may write there. Then delete that folder, and deploy the release again "
            "from its build: metamcp-deploy deploy",
        ) from e
    if about["format"] == 1 and trusted not in (release, digest):
        raise identity.unproven(release, root, hint)
    return about


def snapshot_difference(workspace: Workspace, deployment: Deployment, release: str) -> str | None:
    """Why the platform's own copy, which a deployment runs, is not the release; None where it is or cannot be read.

    Between the check and the copy somebody may have changed the source.
    """
    path = deployment.snapshot
    try:
        there = workspace.files.entries(path) if path else {}
        if not set(identity.RUN) <= set(there):
            return None
        if more := sorted(_INSTALLS & set(there)):
            return f"{path} holds {more[0]}"
        _content(workspace, path, there, release)
    except OtherReleaseError as e:
        return f"{path} {e}"
    except DeployError as e:
        if e.code not in _UNREADABLE:
            raise
    return None


def _read(workspace: Workspace, path: str, release: str) -> tuple[dict[str, Any], str]:
    there = workspace.files.entries(path)
    if more := sorted(name for name, entry in there.items() if name not in _KNOWN or entry.folder):
        raise OtherReleaseError(f"holds {', '.join(more)}, which is not of the release")
    return _content(workspace, path, there, release)


def _content(
    workspace: Workspace, path: str, there: Mapping[str, Entry], release: str
) -> tuple[dict[str, Any], str]:
    """release.json and its SHA-256, after the id was computed."""
    for name in identity.RUN:
        if name in there and (there[name].size or 0) > LARGEST_BYTES:
            raise OtherReleaseError(f"holds a {name} of more than {LARGEST_BYTES} bytes")
    try:
        return _opened(workspace, path, release)
    except OtherReleaseError:  # an answer that was cut on its way is no alarm
        return _opened(workspace, path, release)


def _opened(workspace: Workspace, path: str, release: str) -> tuple[dict[str, Any], str]:
    found = workspace.files.contents(f"{path}/{name}" for name in identity.RUN)
    files = {name: found[f"{path}/{name}"] for name in identity.RUN}
    return identity.check(files, release), fingerprint.of_bytes(files[identity.ABOUT] or b"")
