"""Makes builds reproducible: the same sources give the same files in any folder, at any time, for any user.

Upstream's build runs with `reproducible.mjs` around its Next configuration, which keeps the folder out of ids and
names. The remaining differences are removed when the files are packed: the build id, the folder, the keys (replaced by
placeholders, which the launcher replaces by real ones), the order of keys in manifests.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.archive import Entry
from metamcp_deploy.release.build import checks, frontend

SCRIPT = Path(__file__).with_name("reproducible.mjs")
PLACE = "/metamcp"  # stands for the folder it was built in, which says who built it and where

# What stands in a release for Next's keys: of their form, and public. The launcher knows the same texts.
PLACEHOLDERS = {
    "previewModeId": "0" * 31 + "1",
    "previewModeSigningKey": "0" * 63 + "2",
    "previewModeEncryptionKey": "0" * 63 + "3",
    "encryptionKey": base64.b64encode(bytes([4]) * 32).decode(),  # reproducible.mjs builds with it
}

_FOLDER = ".metamcp-deploy"
_MANIFEST = re.compile(r"/\.next/(server/)?[^/]+\.json$")
# Manifests that are scripts: a JSON object (`globalThis.__RSC_MANIFEST["/page"]={...};`), or one in quotes.
_OBJECT = re.compile(r'^(?P<head>.*?"\]=)(?P<json>\{.*\})(?P<tail>;?\s*)$', re.S)
_QUOTED = re.compile(r"""^(?P<head>self\.\w+=)(?P<text>'.*'|".*")(?P<tail>;?\s*)$""", re.S)


def wrap(tree: Path, source_maps: bool) -> None:
    """Puts `reproducible.mjs` around the tree's own Next configuration.

    Args:
        tree: unbuilt.
        source_maps: whether Next makes those of its server, too.

    Raises:
        DeployError: BUILD_FAILED, for a configuration in TypeScript, which nothing but Next can load.
    """
    app = tree / frontend.APP
    names = (app / f"next.config.{end}" for end in ("js", "mjs"))
    if (found := next((path for path in names if path.is_file()), None)) is None:
        if (written := app / "next.config.ts").is_file():
            raise DeployError(
                Code.BUILD_FAILED,
                f"{written} is written in TypeScript; a reproducible build needs it as next.config.js or .mjs.",
                hint="Write it as next.config.mjs, with an override or a patch.",
            )
        return  # without one Next makes no standalone output; the build reports that
    own = f"next.config.upstream{found.suffix}"
    found.rename(app / own)
    (tree / _FOLDER).mkdir(exist_ok=True)
    shutil.copyfile(SCRIPT, tree / _FOLDER / SCRIPT.name)
    options = ", { sourceMaps: true }" if source_maps else ""
    # As short as can be: Tailwind reads every file in here for names of classes.
    (app / "next.config.mjs").write_text(
        f'import {{ reproducible }} from "../../{_FOLDER}/{SCRIPT.name}";\n'
        f'import own from "./{own}";\n'
        f"export default reproducible(own{options});\n"
    )


@dataclass(frozen=True)
class Canonical:
    """What to replace in the files of one build, in order: text → text."""

    texts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, tree: Path, build_id: str) -> Canonical:
        """For a built tree.

        Args:
            tree: built.
            build_id: what becomes Next's build id, and with it the folder of static manifests.
        """
        built = tree / frontend.APP / ".next"
        # Asked of the build, not of `tree`: the folder may have been moved since, or be reached through a link.
        app = str(json.loads((built / "required-server-files.json").read_text())["appDir"])
        root = app.removesuffix(f"/{frontend.APP}")
        preview = json.loads((built / "prerender-manifest.json").read_text()).get("preview", {})
        pairs = [
            ((built / "BUILD_ID").read_text().strip(), build_id),
            *_spellings(root),
            *((str(preview[name]), text) for name, text in PLACEHOLDERS.items() if name in preview),
        ]
        # A short text could be any word.
        return cls(tuple((a, b) for a, b in pairs if len(a) >= 16))

    def entries(self, found: Iterable[Entry]) -> Iterator[Entry]:
        """The entries with all that differs between two builds replaced."""
        for entry in found:
            path, content = entry.path, entry.content
            for before, after in self.texts:
                path = path.replace(before, after)
                content = content.replace(before.encode(), after.encode())
            content = checks.without_switches(path, ordered(path, content))
            yield replace(entry, path=path, content=content)


def ordered(path: str, content: bytes) -> bytes:
    """A manifest of Next's with the keys of its objects in order; any other file as it is."""
    if "/.next/" not in path:
        return content
    if _MANIFEST.search(path):
        return _sorted(content.decode()).encode()
    if path.endswith("-manifest.js"):
        text = content.decode()
        if found := _OBJECT.match(text):
            return f"{found['head']}{_sorted(found['json'])}{found['tail']}".encode()
        if found := _QUOTED.match(text):
            # What minifiers write inside quotes means the same in Python.
            inside = _sorted(ast.literal_eval(found["text"]))
            return f"{found['head']}{json.dumps(inside)}{found['tail']}".encode()
    return content


def placeholders_in(entries: Iterable[Entry]) -> list[str]:
    """Paths of the files in which the launcher must put real keys."""
    marks = [text.encode() for text in PLACEHOLDERS.values()]
    return sorted(e.path for e in entries if any(mark in e.content for mark in marks))


def _spellings(root: str) -> list[tuple[str, str]]:
    """The folder as it can stand in a script, and what becomes of it: as it is, in a URL's query, with escapes."""
    escaped = "".join(c if c.isascii() else _escape(c) for c in root)
    found = {
        root: PLACE,
        quote(root, safe="!'()*"): quote(PLACE, safe=""),  # what encodeURIComponent leaves
        escaped: PLACE,
        escaped.replace("\\", "\\\\"): PLACE,  # in a string inside of a string
    }
    return list(found.items())


def _escape(character: str) -> str:
    r"""As minifiers write it: \xe9, \u4e2d, or two of these beyond the first 65536 characters."""
    units = character.encode("utf-16-be")
    numbers = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return "".join(f"\\x{n:02x}" if n < 0x100 else f"\\u{n:04x}" for n in numbers)


def _sorted(text: str) -> str:
    """JSON with the keys of objects in order; what is no JSON as it is."""
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        return text
