"""The id of a release: a digest over all that it runs, and over every field of release.json that the launcher obeys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from metamcp_deploy import fingerprint
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import archive
from metamcp_deploy.release.archive import Entry

FORMAT = 2  # of release.json; the id of format 1 does not cover release.json
ABOUT = "release.json"
PARTS = ("backend", "frontend", "migrations")
OWN = ("app.yaml", "start.mjs")
RUN = (ABOUT, *OWN, *(f"{part}.tar.gz" for part in PARTS))  # the files that decide what runs
BESIDE = ("files.json", "sbom.cdx.json")  # which nothing in the container reads

# What says where a release comes from. Every other field counts, new ones too; the launcher drops these
# (launcher/release/release.mjs).
DESCRIPTIVE = frozenset(
    {"id", "tool", "left_out", "patches", "overrides", "built_with", "advisories", "files", "verified"}
)
_PACKING = frozenset({"sha256", "bytes"})


class OtherReleaseError(ValueError):
    """Files that are not the release they should be; the text says why, and fits after the name of their place."""


def counted(about: Mapping[str, Any]) -> bytes:
    """What of release.json counts for the id: JSON with sorted keys and without spaces."""
    fields = {key: value for key, value in about.items() if key not in DESCRIPTIVE}
    fields["upstream"] = {
        "commit": (about.get("upstream") or {}).get("commit")
    }  # a protected target compares it
    fields["parts"] = {
        name: {key: value for key, value in part.items() if key not in _PACKING}
        for name, part in about["parts"].items()
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def lines(parts: Mapping[str, Iterable[Entry]], about: Mapping[str, Any]) -> dict[str, tuple[str, bytes]]:
    """Path → permission bits and content of everything that the id is computed from.

    Args:
        parts: folder the part unpacks to ("" for the release's own files) → its entries.
        about: release.json; of the id and of digests of packed files nothing is read.
    """
    found = {
        f"{folder}/{entry.path}" if folder else entry.path: (f"{entry.mode:o}", entry.content)
        for folder, entries in parts.items()
        for entry in entries
    }
    return found if about.get("format") == 1 else {**found, ABOUT: ("-", counted(about))}


def of(parts: Mapping[str, Iterable[Entry]], about: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 over the sorted lines of path, mode and SHA-256 of the content."""
    text = sorted(
        f"{path}\0{mode}\0{fingerprint.of_bytes(content)}\n"
        for path, (mode, content) in lines(parts, about).items()
    )
    return hashlib.sha256("".join(text).encode()).hexdigest()[:16]


def unproven(release: str, place: str, hint: str) -> DeployError:
    """A release of format 1, where only its id is known."""
    return DeployError(
        Code.RELEASE_UNPROVEN,
        f"Release {release} in {place} is of format 1. Its id does not cover its {ABOUT} (routes, closed routes, "
        "programs, schema), which may have been changed since it was built.",
        hint=hint,
    )


def check(files: Mapping[str, bytes | None], wanted: str) -> dict[str, Any]:
    """Computes the id of a release from its packed files.

    Args:
        files: the content of each of RUN; None for one that is missing.
        wanted: the id that it should have.

    Returns:
        release.json, which the id covers as far as its format says.

    Raises:
        OtherReleaseError: for another id, and for what is damaged or too large.
    """
    present = {name: content for name, content in files.items() if content is not None}
    if missing := [name for name in RUN if name not in present]:
        raise OtherReleaseError(f"has no {missing[0]}")
    try:
        about: dict[str, Any] = json.loads(present[ABOUT].decode())
        if about["format"] not in (1, FORMAT):
            raise OtherReleaseError(f"has a {ABOUT} of format {about['format']!r}, which no version knows")
        stated = {name: (part["file"], part["sha256"]) for name, part in about["parts"].items()}
        parts = {name: _part(name, present[f"{name}.tar.gz"], stated) for name in PARTS}
        parts[""] = [Entry(name, present[name]) for name in OWN]
        found = of(parts, about)
    except OtherReleaseError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as e:
        raise OtherReleaseError(f"has a {ABOUT} that describes no release ({type(e).__name__}: {e})") from e
    if found != wanted or about.get("id") != wanted or set(stated) != set(PARTS):
        raise OtherReleaseError(f"says that it is release {about.get('id')}, but its content is {found}")
    return about


def _part(name: str, packed: bytes, stated: Mapping[str, tuple[str, str]]) -> list[Entry]:
    if stated[name] != (f"{name}.tar.gz", fingerprint.of_bytes(packed)):
        raise OtherReleaseError(f"holds another {name}.tar.gz than its {ABOUT} describes")
    try:
        entries = archive.unpack(packed)
    except ValueError as e:
        raise OtherReleaseError(f"holds a {name}.tar.gz that {e}") from e
    try:
        archive.check(name, entries)
    except DeployError as e:
        raise OtherReleaseError(f"is not one: {e.message}") from e
    return entries
