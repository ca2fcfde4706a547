"""Deterministic archives of what a release runs, and what may be in them: JavaScript and data, no native code."""

from __future__ import annotations

import io
import re
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metamcp_deploy.errors import Code, DeployError

# A file of an app's source may have 10485760 bytes (facts/databricks.md); below it with room to spare.
LIMIT = 9_000_000
MODE = 0o644  # of every file: node reads them, nothing is executed by its own name
_LEVEL = 6  # 9 takes three times as long for 1 % less
# Bounds on what is unpacked; v2.4.22 has 25 MB in 1,400 files, packed to a fifth.
LARGEST, ENTRIES, RATIO = 300_000_000, 50_000, 50
_SMALL = 1_000_000  # bytes for which the ratio says nothing
_BLOCK = 512
_OCTAL = re.compile(rb"[0-7]*[\0 ]*")
_PAX_PATH = re.compile(rb"([0-9]+) path=([^\0]+)\n")

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


def unpack(packed: bytes) -> list[Entry]:
    """The entries of what `pack` wrote, by any version of Python and zlib.

    Strict where readers of tar differ: what this accepts, the launcher (release/tar.mjs) reads in the same way.

    Raises:
        ValueError: for anything that `pack` does not write, and for more than LARGEST bytes, ENTRIES files or RATIO.
    """
    limit = min(LARGEST, max(_SMALL, RATIO * len(packed)))
    unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        data = unzip.decompress(packed, limit + 1)
    except zlib.error as e:
        raise ValueError(f"is damaged ({e})") from e
    if len(data) > limit:
        raise ValueError(f"unpacks to more than {limit} bytes")
    if not unzip.eof or unzip.unused_data.strip(b"\0"):
        raise ValueError("is cut off" if not unzip.eof else "goes on after its end")
    entries: list[Entry] = []
    for entry in _entries(data):
        entries.append(entry)
        if len(entries) > ENTRIES:
            raise ValueError(f"holds more than {ENTRIES} files")
    return entries


def _entries(data: bytes) -> Iterator[Entry]:
    """Plain files, each with at most one pax header that names it."""
    at, path = 0, None
    while header := data[at : at + _BLOCK].rstrip(b"\0"):
        kind, size, mode = header[156:157], _octal(header[124:136]), _octal(header[100:108])
        content = data[at + _BLOCK : at + _BLOCK + size]
        if header[257:263] != b"ustar\0" or len(content) != size or header[148:156] != _sum(header):
            raise ValueError("holds a header that is damaged or of another kind of tar")
        if kind == b"x" and path is None:
            path = _pax_path(content)
        elif kind == b"0":
            name, prefix = (_text(header[a:b]) for a, b in ((0, 100), (345, 500)))
            yield Entry(path or (f"{prefix}/{name}" if prefix else name), content, mode)
            path = None
        else:
            raise ValueError("holds something that is no plain file")
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    if path is not None or len(data) < at + _BLOCK or data[at:].strip(b"\0"):
        raise ValueError("has no end, or goes on after it")


def _octal(field: bytes) -> int:
    if not _OCTAL.fullmatch(field):
        raise ValueError("holds a header without a number where one belongs")
    return int(field.rstrip(b"\0 ") or b"0", 8)


def _sum(header: bytes) -> bytes:
    """The checksum field of a header."""
    return b"%06o\0 " % (sum(header[:148]) + 8 * 0x20 + sum(header[156:]))


def _pax_path(content: bytes) -> str:
    record = _PAX_PATH.fullmatch(content)
    if record is None or int(record[1]) != len(content):
        raise ValueError("holds a pax header that says more than a name")
    return _text(record[2])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode()


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
