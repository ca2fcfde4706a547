"""What an artifact's file holds, read without writing anything, and every check that it is what was archived."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import __version__, fingerprint
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import archive
from metamcp_deploy.release.archive import Entry

ABOUT = "artifact.json"
FORMAT = 1
_RELEASE_FORMAT = 1
_LARGEST = 300_000_000  # bytes unpacked; a release has less than a tenth of it
_NAME = re.compile(r"^(artifact\.json|databricks\.yml|app/[A-Za-z0-9_][A-Za-z0-9._-]*)$")
_OWN = ("app.yaml", "start.mjs")


@dataclass(frozen=True)
class Artifact:
    """A file that was checked: artifact.json, release.json, and the bundle's files by path."""

    about: dict[str, Any]
    release: dict[str, Any]
    files: dict[str, bytes]


def read(source: Path) -> Artifact:
    """Reads and checks a file.

    Raises:
        DeployError: FILE_ACCESS; ARTIFACT_INVALID for what is damaged, altered or no such file; TOOL_VERSION for one
            of a newer tool.
    """
    files = _unpacked(source)
    about, release = _about(source, files), _release(source, files)
    _check(source, files, about, release)
    return Artifact(about, release, files)


def _unpacked(source: Path) -> dict[str, bytes]:
    """All files of the archive by name; nothing is written."""
    try:
        with gzip.open(source) as packed:
            data = packed.read(_LARGEST + 1)
    except (EOFError, zlib.error) as e:
        raise invalid(source, "is cut off or damaged") from e
    except gzip.BadGzipFile as e:
        raise invalid(source, "is not what `build --archive` writes") from e
    except OSError as e:
        raise unreachable(source, e) from e
    if len(data) > _LARGEST:
        raise invalid(source, f"unpacks to more than {_LARGEST} bytes")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                if not _NAME.match(member.name) or not member.isreg() or member.name in files:
                    raise invalid(source, f"holds {member.name!r}, which no bundle does")
                file = tar.extractfile(member)
                files[member.name] = file.read() if file else b""
    except tarfile.TarError as e:
        raise invalid(source, "is not what `build --archive` writes") from e
    return files


def _about(source: Path, files: dict[str, bytes]) -> dict[str, Any]:
    about = _document(source, files.pop(ABOUT, b""), ABOUT)
    _check_format(source, about.get("format"), FORMAT)
    if not isinstance(about.get("files"), dict) or not isinstance(about.get("release"), str):
        raise invalid(source, f"has an {ABOUT} that does not say what it holds")
    return about


def _release(source: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    release = _document(source, files.get("app/release.json", b""), "app/release.json")
    _check_format(source, release.get("format"), _RELEASE_FORMAT)
    return release


def _check(source: Path, files: Mapping[str, bytes], about: dict[str, Any], release: dict[str, Any]) -> None:
    """Every digest, and the id from what the release runs."""
    found = {name: fingerprint.of_bytes(content) for name, content in files.items()}
    for name in sorted(found.keys() | about["files"].keys()):
        if found.get(name) != about["files"].get(name):
            raise invalid(source, f"holds another {name} than was archived")
    try:
        described = {name: str(stated["sha256"]) for name, stated in release["files"].items()}
        parts = {name: _entries(files[f"app/{part['file']}"]) for name, part in release["parts"].items()}
        own = [Entry(name, files[f"app/{name}"]) for name in _OWN]
        for name, part in parts.items():
            archive.check(name, part)
    except (KeyError, TypeError, AttributeError, tarfile.TarError, OSError, EOFError, zlib.error) as e:
        raise invalid(source, f"holds a release that is not whole ({type(e).__name__}: {e})") from e
    for name in sorted({n.removeprefix("app/") for n in found if n.startswith("app/")} - {"release.json"}):
        if described.get(name) != found[f"app/{name}"]:
            raise invalid(source, f"holds another {name} than its release.json describes")
    computed = archive.release_id({**parts, "": own})
    if not computed == release.get("id") == about["release"]:
        raise invalid(source, f"says it is release {release.get('id')}, but its content is {computed}")


def _entries(packed: bytes) -> list[Entry]:
    with gzip.open(io.BytesIO(packed)) as f:
        data = f.read(_LARGEST)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        found = [(member, tar.extractfile(member)) for member in tar]
        return [Entry(m.name, f.read(), m.mode) for m, f in found if f is not None]


def _document(source: Path, content: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
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
    if found != known:
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
        hint=hint or "Fetch the file again and compare its SHA-256 with what `build --archive` said.",
    )
