"""What an artifact's file holds, read without writing anything, and every check that it is what was archived."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import __version__, fingerprint, resources
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import archive, identity

ABOUT = "artifact.json"
FORMAT = 1
_LARGEST = 100_000_000  # bytes of the file; a release has less than a tenth of it
_NAME = re.compile(r"^(artifact\.json|databricks\.yml|app/[A-Za-z0-9_][A-Za-z0-9._-]*)$")


@dataclass(frozen=True)
class Held:
    """What a file is held against, as its maker said it: its SHA-256, and the release's id."""

    sha256: str | None = None
    release: str | None = None

    def check(self, source: Path, digest: str) -> None:
        """Refuses a file of another digest.

        Raises:
            DeployError: ARTIFACT_INVALID.
        """
        if self.sha256 is not None and self.sha256.lower() != digest:
            raise invalid(source, f"has the SHA-256 {digest}, not {self.sha256} as --sha256 says")


ANY = Held()


@dataclass(frozen=True)
class Artifact:
    """A file that was checked: artifact.json, release.json, and the bundle's files by path."""

    about: dict[str, Any]
    release: dict[str, Any]
    files: dict[str, bytes]


def read(source: Path, held: Held) -> Artifact:
    """Reads and checks a file.

    Raises:
        DeployError: FILE_ACCESS; ARTIFACT_INVALID for what is damaged, altered, not what it is held against, or no such
            file; RELEASE_UNPROVEN; TOOL_VERSION for one of a newer tool.
    """
    content = content_of(source)
    held.check(source, fingerprint.of_bytes(content))
    files = _unpacked(source, content)
    about = _about(source, files)
    release = _release(source, files, about)
    if held.release not in (None, release["id"]):
        raise invalid(source, f"holds release {release['id']}, not {held.release} as --id says")
    if release["format"] == 1 and held.sha256 is None:
        raise identity.unproven(
            str(release["id"]), str(source), "Name the SHA-256 that `build --archive` said: --sha256 DIGEST"
        )
    return Artifact(about, release, files)


def content_of(source: Path) -> bytes:
    """The content of a plain file of bounded size.

    Raises:
        DeployError: FILE_ACCESS, ARTIFACT_INVALID.
    """
    try:
        about = source.stat()
        if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
            raise invalid(source, "is no plain file")
        with source.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as e:
        raise unreachable(source, e) from e
    if len(content) > _LARGEST:
        raise invalid(source, f"has more than {_LARGEST} bytes")
    return content


def _unpacked(source: Path, content: bytes) -> dict[str, bytes]:
    """All files of the archive by name; nothing is written."""
    files: dict[str, bytes] = {}
    try:
        entries = archive.unpack(content)
    except ValueError as e:
        raise invalid(source, f"is not what `build --archive` writes: it {e}") from e
    for entry in entries:
        if not _NAME.fullmatch(entry.path) or entry.path in files:
            raise invalid(source, f"holds {entry.path!r}, which no bundle does")
        files[entry.path] = entry.content
    return files


def _about(source: Path, files: dict[str, bytes]) -> dict[str, Any]:
    about = _document(source, files.pop(ABOUT, b""), ABOUT)
    _check_format(source, about.get("format"), FORMAT)
    if not isinstance(about.get("files"), dict) or not isinstance(about.get("release"), str):
        raise invalid(source, f"has an {ABOUT} that does not say what it holds")
    return about


def _release(source: Path, files: Mapping[str, bytes], about: dict[str, Any]) -> dict[str, Any]:
    """release.json, after every digest and the id were computed."""
    release = _document(source, files.get("app/release.json", b""), "app/release.json")
    _check_format(source, release.get("format"), identity.FORMAT)
    found = {name: fingerprint.of_bytes(content) for name, content in files.items()}
    for name in sorted(found.keys() | about["files"].keys()):
        if found.get(name) != about["files"].get(name):
            raise invalid(source, f"holds another {name} than was archived")
    own = {name.removeprefix("app/"): content for name, content in files.items() if name.startswith("app/")}
    if more := sorted(own.keys() - {*identity.RUN, *identity.BESIDE}):
        raise invalid(source, f"holds app/{more[0]}, which no release does")
    try:
        return identity.check({name: own.get(name) for name in identity.RUN}, about["release"])
    except identity.OtherReleaseError as e:
        raise invalid(source, str(e)) from e


def _document(source: Path, content: bytes, name: str) -> dict[str, Any]:
    try:
        found = resources.parsed_json(content)
    except ValueError as e:
        raise invalid(source, f"has no readable {name}") from e
    if not isinstance(found, dict):
        raise invalid(source, f"has no readable {name}")
    return found


def _check_format(source: Path, found: object, known: int) -> None:
    if isinstance(found, int) and found > known:
        raise DeployError(
            Code.TOOL_VERSION,
            f"{source} is of format {found}; this metamcp-deploy ({__version__}) reads up to {known}.",
            hint="Install the version of metamcp-deploy that wrote it, or a later one.",
        )
    if found not in range(1, known + 1):
        raise invalid(source, f"is of format {found!r}, which no version writes")


def unreachable(source: Path, error: OSError) -> DeployError:
    """A file that cannot be read."""
    return DeployError(
        Code.FILE_ACCESS,
        f"{source} cannot be read: {error.strerror or error}.",
        hint="Name the file that `metamcp-deploy build --archive FILE` wrote.",
    )


def invalid(what: Path, problem: str, hint: str | None = None) -> DeployError:
    """A file or bundle that is not what it should be."""
    return DeployError(
        Code.ARTIFACT_INVALID,
        f"{what} {problem}.",
        hint=hint or "Fetch the file again, and hold it against what `build --archive` said: --sha256 DIGEST",
    )
