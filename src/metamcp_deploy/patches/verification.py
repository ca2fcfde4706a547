"""Checks a patched tree, whichever patches and overrides produced it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.patches import syntax
from metamcp_deploy.patches.migrations import qualifications
from metamcp_deploy.patches.text_edits import line_of

BACKEND = "apps/backend/src"
MIGRATIONS = "apps/backend/drizzle"
# drizzle's makers of objects outside of any schema (drizzle-orm/pg-core); pgSchema has a method for each.
_OUTSIDE = re.compile(r"\bpg(?:Table|Enum|View|MaterializedView|Sequence|TableCreator)\b")
_CODE = (".ts", ".tsx", ".mts", ".cts")
# Where a tree with errors means a broken file; the grammars of CSS and the like stumble over what frameworks add.
_STRICT = frozenset(
    suffix for suffix, name in syntax.LANGUAGES.items() if name in ("typescript", "tsx", "javascript", "json")
)


def verify(tree: Path, schema: str, touched: Iterable[str] = ()) -> None:
    """Checks a patched tree.

    Args:
        tree: its folder.
        schema: the schema that everything must be in.
        touched: paths that overrides or patches made or changed; they must parse.

    Raises:
        DeployError: PATCH_INCOMPLETE, naming file and line: a `pgTable(` or the like outside of the schema object, no
            schema object or one of another name, an unqualified statement in a migration, a file that does not parse.
    """
    for path in sorted(set(touched)):
        if Path(path).suffix in _STRICT and (tree / path).is_file():
            _parses(tree, path)
    _one_schema(tree, schema)
    migrations = {p.relative_to(tree).as_posix(): _text(p) for p in sorted((tree / MIGRATIONS).glob("*.sql"))}
    for path, edits in qualifications(migrations, schema, "the check").items():
        if edits:
            text = migrations[path]
            line = line_of(text, edits[0].start)
            statement = text.splitlines()[line - 1].strip()[:120]
            raise _incomplete(path, line, f"a name is not in the schema {schema}: {statement}")


def _parses(tree: Path, path: str) -> None:
    text = _text(tree / path)
    at = syntax.broken_at(syntax.parsed(Path(path).suffix, text))
    if at is not None:
        raise _incomplete(path, line_of(text, at), "the text does not parse after patching")


def _one_schema(tree: Path, schema: str) -> None:
    objects = 0
    for path in _sources(tree / BACKEND):
        text = _text(path)
        if (
            _OUTSIDE.search(text) or "pgSchema" in text
        ):  # reading is fast, parsing is not, and most files name neither
            objects += _schema_objects(path.relative_to(tree).as_posix(), text, schema)
    if objects != 1:
        raise _incomplete(BACKEND, None, f'found {objects} schema objects, expected 1: pgSchema("{schema}")')


def _sources(folder: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(base, name) for name in sorted(names) if name.endswith(_CODE))


def _schema_objects(path: str, text: str, schema: str) -> int:
    root = syntax.parsed(Path(path).suffix, text)
    for node in root.find_all(regex=f"^(?:{_OUTSIDE.pattern})$"):
        if node.kind() in ("identifier", "property_identifier"):
            line = node.range().start.line + 1
            raise _incomplete(path, line, f"{node.text()} makes something outside of the schema {schema}")
    made = root.find_all(pattern="pgSchema($NAME)")
    for call in made:
        if call["NAME"].text() not in (f'"{schema}"', f"'{schema}'"):
            raise _incomplete(
                path, call.range().start.line + 1, f'{call.text()}: pgSchema("{schema}") is expected'
            )
    return len(made)


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def _incomplete(path: str, line: int | None, problem: str) -> DeployError:
    where = f"{path}:{line}" if line else path
    return DeployError(
        Code.PATCH_INCOMPLETE,
        f"{where}: {problem}.",
        hint="Correct your own patch or override of that file. Without one, pin an upstream this tool knows "
        "(v2.0.4 to v2.4.22, main).",
    )
