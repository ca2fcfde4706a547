"""Lists the files of Next that a server always loads. Releases of Next differ here, so no rule may remove them.

Next compiles its own files one by one: what a file needs at load time is required in lines that begin at the margin,
what it may need later inside functions. A file that is one long line counts as needing everything it names.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_LINE = re.compile(rb"^\S.*", re.M)
_REQUIRED = re.compile(rb"""\brequire\(["']([^"']+)["']\)""")
_ENDS = ("", ".js", ".json", ".cjs", "/index.js")


def always(files: Mapping[str, Path], entry: str, pages: str) -> set[str]:
    """Paths of what is loaded with the entry or with a page, directly or by what they load.

    Args:
        files: path in the archive → where it is.
        entry: path of the server's program.
        pages: folder of compiled pages, which load parts of Next only when they are asked for: all of it counts.
    """
    found: set[str] = set()
    compiled = {at for at in files if at.startswith(f"{pages}/") and at.endswith(".js")}
    todo = [entry, *compiled]
    while todo:
        at = todo.pop()
        if at in found or at not in files:
            continue
        found.add(at)
        if at.endswith("/package.json"):
            main = str(json.loads(files[at].read_bytes()).get("main", "index.js"))
            todo += _with_ends(posixpath.normpath(posixpath.join(posixpath.dirname(at), main)))
        elif at.endswith((".js", ".cjs")):
            content = files[at].read_bytes()
            text = content if at in compiled else b"\n".join(_LINE.findall(content))
            todo += (n for spec in _REQUIRED.findall(text) for n in _places(spec.decode(), at))
    return found


def _places(required: str, by: str) -> Iterator[str]:
    """Where a required name may be, as far as it is a path or a path in a package."""
    if required.startswith("."):
        at = posixpath.normpath(posixpath.join(posixpath.dirname(by), required))
    else:
        at = f"node_modules/{required}"
    yield from _with_ends(at)
    if not required.endswith((".js", ".json", ".cjs")):
        yield f"{at}/package.json"


def _with_ends(at: str) -> Iterator[str]:
    yield from (at + end for end in _ENDS)
