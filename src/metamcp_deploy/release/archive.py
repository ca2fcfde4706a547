"""Deterministic archives of what a release runs, and what may be in them: JavaScript and data, no native code."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metamcp_deploy import fingerprint
from metamcp_deploy.errors import Code, DeployError

# A file of an app's source may have 10485760 bytes (facts/databricks.md); below it with room to spare.
LIMIT = 9_000_000
MODE = 0o644  # of every file: node reads them, nothing is executed by its own name
_LEVEL = 6  # 9 takes three times as long for 1 % less

_EXECUTABLES = {
    b"\x7fELF": "an ELF binary",
    b"\xfe\xed\xfa\xce": "a Mach-O binary",
    b"\xfe\xed\xfa\xcf": "a Mach-O binary",
    b"\xce\xfa\xed\xfe": "a Mach-O binary",
    b"\xcf\xfa\xed\xfe": "a Mach-O binary",
    b"\xca\xfe\xba\xbe": "a Mach-O universal binary",
    b"\xbe\xba\xfe\xca": "a Mach-O universal binary",
}


@dataclass(frozen=True)
class Entry:
    """One file of a part: its path there (relative, POSIX), its content, its permission bits."""

    path: str
    content: bytes
    mode: int = MODE


def native_kind(path: str, content: bytes) -> str | None:
    """What native code a file is (by its first bytes, or its name for Node add-ons), or None."""
    if kind := _EXECUTABLES.get(content[:4]):
        return kind
    if content[:2] == b"MZ" and len(content) >= 0x40:
        offset = struct.unpack_from("<I", content, 0x3C)[0]
        if content[offset : offset + 4] == b"PE\0\0":
            return "a PE binary"
    return "a Node add-on" if path.endswith(".node") else None


def check(part: str, entries: Iterable[Entry]) -> None:
    """Refuses native code, paths that would leave the folder, and doubles.

    Raises:
        DeployError: BUNDLE_INVALID, naming the file.
    """
    seen: set[str] = set()
    for entry in entries:
        pure = PurePosixPath(entry.path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in entry.path or str(pure) != entry.path:
            raise _invalid(part, entry.path, "is not a plain relative path")
        if entry.path in seen:
            raise _invalid(part, entry.path, "is there twice")
        seen.add(entry.path)
        if kind := native_kind(entry.path, entry.content):
            raise _invalid(part, entry.path, f"is {kind}; a release holds JavaScript and data only")


def pack(entries: Iterable[Entry]) -> bytes:
    """A tar.gz of the entries: the same bytes for the same entries, whatever their order, the clock and the user."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in sorted(entries, key=lambda e: e.path):
            info = tarfile.TarInfo(entry.path)
            info.size, info.mode = len(entry.content), entry.mode
            tar.addfile(info, io.BytesIO(entry.content))
    return gzip(sink.getvalue())


def gzip(data: bytes) -> bytes:
    """gzip with a header that says nothing of time, name or system."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(data) + packer.flush()
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return header + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def release_id(parts: Mapping[str, Iterable[Entry]]) -> str:
    """First 16 hex digits of the SHA-256 over the sorted (path, mode, SHA-256 of the content) of what a release runs.

    Args:
        parts: folder the part unpacks to ("" for the release's own files) → its entries.
    """
    lines = sorted(
        f"{folder + '/' if folder else ''}{e.path}\0{e.mode:o}\0{fingerprint.of_bytes(e.content)}\n"
        for folder, entries in parts.items()
        for e in entries
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def check_size(path: Path, entries: Iterable[Entry]) -> None:
    """Refuses a packed file that the platform would.

    Raises:
        DeployError: BUNDLE_INVALID, naming the file, its size and what is biggest in it.
    """
    size = path.stat().st_size
    if size <= LIMIT:
        return
    biggest = sorted(entries, key=lambda e: -len(e.content))[:10]
    raise DeployError(
        Code.BUNDLE_INVALID,
        f"{path.name} has {size} bytes; the limit is {LIMIT} (the platform refuses source files over 10 MB).",
        hint="Remove with a patch or override what makes it so big; the biggest files are listed above.",
        detail="\n".join(f"{len(e.content):>10}  {e.path}" for e in biggest) or None,
    )


def _invalid(part: str, path: str, what: str) -> DeployError:
    return DeployError(
        Code.BUNDLE_INVALID,
        f"{path} in the release's {part} {what}.",
        hint="Remove the dependency that brings it with a patch, or report it: a release must run on any machine.",
    )
