"""Source maps in a release: names of upstream's files and positions in them, without the files' text.

Node needs no more for a stack trace. The text would make the maps five times as large, and is available from the commit
that release.json names.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from metamcp_deploy.release.archive import Entry
from metamcp_deploy.release.build.reproducible import PLACE

END = ".map"
_WEBPACK = re.compile(r"^webpack://[^/]*/(?:_N_E/)?(?=\.{1,2}/|\?|$)")


def of_program(content: bytes, folder: Path, tree: Path) -> bytes:
    """The map of a program by esbuild, whose sources are named from the folder that it was written to."""

    def named(source: str) -> str:
        path = Path(posixpath.normpath(folder / source)).resolve()
        below = path.relative_to(tree.resolve()) if path.is_relative_to(tree.resolve()) else Path(path.name)
        return f"{PLACE}/{below.as_posix()}"

    return _slim(content, named)


def of_pages(entries: Iterable[Entry], app: str) -> Iterator[Entry]:
    """A front end's files, with maps by webpack changed: sources are named from the map, as if they lay in the release.

    Next prints them from the folder it runs in, which is the front end's own.

    Args:
        entries: maps and other files.
        app: path of the front end in the tree, from which webpack names sources.
    """
    for entry in entries:
        if entry.path.endswith(END):
            named = partial(_from, posixpath.dirname(entry.path), app)
            entry = replace(entry, content=_slim(entry.content, named))
        yield entry


def _from(folder: str, app: str, source: str) -> str:
    path, ours = _WEBPACK.subn("", source)
    if not ours:  # webpack's own, no file: its start, what it leaves to `require`
        return source
    named = posixpath.normpath(f"/{app}/{path.partition('?')[0]}")  # queries hold hashes of folders
    return posixpath.relpath(named, f"/{folder}")


def _slim(content: bytes, named: Callable[[str], str]) -> bytes:
    document = json.loads(content)
    document.pop("sourcesContent", None)
    document["sources"] = [named(source) for source in document["sources"]]
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
