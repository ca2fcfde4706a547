"""The release in `build/bundle/app`, and the releases of a target in its workspace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy import fingerprint, pipeline, resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace

LARGEST_BYTES = 10_485_760  # of one file in an app's source; a larger one fails the deployment
COMPLETE = ".complete"
_SHORTEST = 4  # digits of an id


@dataclass(frozen=True)
class Release:
    """A built release: its id, and relative path → file."""

    id: str
    files: dict[str, Path]

    @property
    def sizes(self) -> dict[str, int]:
        """Relative path → bytes."""
        return {name: path.stat().st_size for name, path in self.files.items()}


def built(project: Project) -> Release:
    """The release that `build` made, after checking that it is complete.

    Raises:
        DeployError: STAGE_MISSING without a build; BUNDLE_INVALID.
    """
    facts = pipeline.facts(project.state, "build", "bundle-deploy")
    folder = project.bundle / "app"
    try:
        about: dict[str, Any] = json.loads((folder / "release.json").read_text())
        release_id, parts = str(about["id"]), dict(about["parts"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise _invalid(folder / "release.json", f"cannot be read ({type(e).__name__}: {e})") from e
    if release_id != facts.get("release"):
        raise _invalid(folder, f"holds release {release_id}, but `build` recorded {facts.get('release')}")
    for name in ("app.yaml", *(part["file"] for part in parts.values())):
        if not (folder / name).is_file():
            raise _invalid(folder / name, "is missing")
    for part in parts.values():
        if fingerprint.of_file(folder / part["file"]) != part["sha256"]:
            raise _invalid(folder / part["file"], "is not the file that release.json describes")
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    for name, path in files.items():
        if path.stat().st_size > LARGEST_BYTES:
            raise _invalid(folder / name, f"is larger than the {LARGEST_BYTES} bytes that Apps accept")
    return Release(release_id, files)


def path_of(root: str, release_id: str) -> str:
    """Where a release of the target is in its workspace."""
    return f"{root}/releases/{release_id}"


def is_complete(workspace: Workspace, root: str, release_id: str) -> bool:
    """Whether the workspace has the complete release, by its marker and the size of every file."""
    path = path_of(root, release_id)
    marker = workspace.files.read(f"{path}/{COMPLETE}")
    try:
        wanted = dict(resources.parsed_json(marker or b"")["files"])
    except (ValueError, KeyError, TypeError):
        return False
    return not missing(wanted, workspace.files.sizes(path))


def about(workspace: Workspace, root: str, release_id: str) -> dict[str, Any]:
    """The release.json of a release in the workspace.

    Raises:
        DeployError: WORKSPACE_ANSWER, when it is missing, cannot be read, or is of another release.
    """
    path = f"{path_of(root, release_id)}/release.json"
    try:
        found: dict[str, Any] = resources.parsed_json(workspace.files.read(path) or b"")
        same = found["id"] == release_id
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise DeployError(
            Code.WORKSPACE_ANSWER,
            f"{path} is not the description of release {release_id}: the release did not arrive as it was sent, or was "
            "changed since.",
            hint="Delete that folder in the workspace and run `metamcp-deploy bundle-deploy`, which sends it again.",
        )
    return found


def named(workspace: Workspace, root: str, wanted: str) -> str:
    """The id of a release in the workspace, by its first four digits or more.

    Raises:
        DeployError: RELEASE_UNKNOWN.
    """
    there = [name for name, entry in workspace.files.entries(f"{root}/releases").items() if entry.folder]
    found = [name for name in there if name.startswith(wanted)] if len(wanted) >= _SHORTEST else []
    if len(found) == 1 and is_complete(workspace, root, found[0]):
        return found[0]
    what = "several releases begin" if len(found) > 1 else "no complete release begins"
    raise DeployError(
        Code.RELEASE_UNKNOWN,
        f"In {root}/releases {what} with {wanted!r}.",
        hint="Which are there: metamcp-deploy release list",
    )


def missing(wanted: dict[str, int], present: dict[str, int]) -> list[str]:
    """Files that are missing, or have another size."""
    return [name for name, size in wanted.items() if present.get(name) != size]


def _invalid(path: Path, what: str) -> DeployError:
    return DeployError(Code.BUNDLE_INVALID, f"{path} {what}.", hint="Run `metamcp-deploy build --clean`.")
