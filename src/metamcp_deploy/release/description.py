"""Reads the description of a release from `build/bundle`, another folder, the cache, or a workspace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import releases
from metamcp_deploy.target import session
from metamcp_deploy.target.site import root

_ABOUT, _LISTING, _SBOM = "release.json", "files.json", "sbom.cdx.json"
_ID = re.compile(r"[0-9a-f]{16}")
_PART_OF_ID = re.compile(r"[0-9a-f]{4,16}")
# Where release.json may be, from a folder that was named.
_INSIDE = ("", "app", "bundle/app", "build/bundle/app")

_Read = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Description:
    """What a release states about itself.

    Attributes:
        where: it was read, for people.
        about: release.json.
        listing: path → {mode, sha256, bytes} of all that it runs; None where the release has no list.
        sbom: the bill of materials; None where the release has none.
    """

    where: str
    about: dict[str, Any]
    listing: dict[str, dict[str, Any]] | None
    sbom: dict[str, Any] | None

    @property
    def id(self) -> str:
        """The release's id."""
        return str(self.about["id"])

    @property
    def packages(self) -> dict[str, list[str]] | None:
        """Name → versions of the packages it is made from, both sorted."""
        if self.sbom is None:
            return None
        found: dict[str, list[str]] = {}
        for one in self.sbom.get("components", []):
            name = f"{one['group']}/{one['name']}" if one.get("group") else one["name"]
            found.setdefault(name, []).append(one["version"])
        return {name: sorted(found[name]) for name in sorted(found)}


def find(project: Project, wanted: str | None = None) -> Description:
    """The description of a release.

    Args:
        project: its bundle, cache and workspace are searched, in this order.
        wanted: an id, its first four digits or more (not in a workspace), or a folder that holds a release; None for
            the one in `build/bundle`.

    Raises:
        DeployError: STAGE_MISSING without a build; RELEASE_UNKNOWN, naming the places searched; BUNDLE_INVALID for
            an invalid release.json; those of the login.
    """
    if wanted is None:
        if (found := _in_folder(project.bundle / "app")) is None:
            raise DeployError(
                Code.STAGE_MISSING,
                f"There is no release in {project.bundle}.",
                hint="Run `metamcp-deploy build` first, or name a release: an id, or a folder that holds one.",
            )
        return found
    near = [found for folder in _folders(project, wanted) if (found := _in_folder(folder))]
    if not _is_folder(wanted):
        near = [found for found in near if found.id.startswith(wanted)]
    if len(ids := sorted({found.id for found in near})) > 1:
        raise _unknown(f"{wanted!r} begins several releases: {', '.join(ids)}", "Name more of its digits.")
    if near:
        return near[0]
    if _ID.fullmatch(wanted) and (found := _in_workspace(project, wanted)):
        return found
    places = f"{project.bundle}, the cache" + (
        f" and target {project.settings.target}" if _ID.fullmatch(wanted) else ""
    )
    raise _unknown(
        f"There is no release {wanted!r} in {places}",
        "Name an id (16 digits), or a folder that holds a release; -t selects the workspace.",
    )


def bill_of_materials(description: Description) -> dict[str, Any]:
    """Its bill of materials.

    Raises:
        DeployError: RELEASE_UNKNOWN, for a release without one.
    """
    if description.sbom is None:
        raise _unknown(
            f"Release {description.id} in {description.where} has no {_SBOM}",
            "Build it again: metamcp-deploy build",
        )
    return description.sbom


def _folders(project: Project, wanted: str) -> Iterator[Path]:
    if _is_folder(wanted):
        yield from (Path(wanted, inside) for inside in _INSIDE)
    elif _PART_OF_ID.fullmatch(wanted):
        yield project.bundle / "app"
        if project.use_cache:
            yield from (resources.cache_folder() / "releases").glob("[!.]*/app")


def _is_folder(wanted: str) -> bool:
    return bool(wanted) and Path(wanted).is_dir()


def _in_folder(folder: Path) -> Description | None:
    def read(name: str) -> bytes | None:
        try:
            return (folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    return _read(read, str(folder))


def _in_workspace(project: Project, release_id: str) -> Description | None:
    workspace = session.connect(project)
    folder = releases.path_of(root(project.settings, workspace.me), release_id)
    return _read(lambda name: workspace.files.read(f"{folder}/{name}"), f"{workspace.host}{folder}")


def _read(read: _Read, where: str) -> Description | None:
    if (about := _parsed(read, _ABOUT, where)) is None:
        return None
    if not isinstance(about.get("id"), str) or not isinstance(about.get("upstream"), dict):
        raise _invalid(where, _ABOUT, "names no release and upstream")
    return Description(where, about, _parsed(read, _LISTING, where), _parsed(read, _SBOM, where))


def _parsed(read: _Read, name: str, where: str) -> dict[str, Any] | None:
    if (content := read(name)) is None:
        return None
    try:
        document = resources.parsed_json(content)
    except ValueError as e:
        raise _invalid(where, name, f"is no JSON ({e})") from e
    if not isinstance(document, dict):
        raise _invalid(where, name, "is no mapping")
    return document


def _invalid(where: str, name: str, what: str) -> DeployError:
    return DeployError(
        Code.BUNDLE_INVALID, f"{where}/{name} {what}.", hint="Run `metamcp-deploy build --clean`."
    )


def _unknown(what: str, hint: str) -> DeployError:
    return DeployError(Code.RELEASE_UNKNOWN, f"{what}.", hint=hint)
