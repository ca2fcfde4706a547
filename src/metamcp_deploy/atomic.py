"""Writes files atomically: a reader, also after `kill -9`, sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(
    path: Path, content: str | bytes, mode: int = 0o644, *, sync: bool = True, parents: bool = True
) -> None:
    """Replaces a file's content; text is written as UTF-8.

    Args:
        path: the file; a link is replaced, not followed.
        content: all of it.
        mode: of the new file from its first byte on, limited by the umask.
        sync: also safe from a power cut; costs milliseconds.
        parents: create missing folders above it.
    """
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path) as fresh:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)


def move(source: Path, path: Path, *, overwrite: bool) -> None:
    """Moves a finished file; of several writers that do not overwrite, exactly one succeeds.

    Raises:
        FileExistsError: `path` exists and may not be overwritten.
    """
    if overwrite:
        source.replace(path)
    else:
        os.link(source, path)
        source.unlink()


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A free name in the same folder, that several threads and processes can ask for; removed after a failure."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield fresh
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
