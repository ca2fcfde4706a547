"""Reads metamcp.yaml into a tree with lines. Knows YAML, not what the keys mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy.config.problems import FILE, Origin, Problem, failure
from metamcp_deploy.config.tree import Node
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    import yaml

# Control characters but tab and line breaks, and what changes the direction of text. Source: Unicode, UAX #9.
STEERING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_MOST_BYTES = 1 << 20
_MOST_VALUES = 20_000  # after aliases are followed: a file of a few lines can otherwise stand for billions
_DEEPEST = 40
_TAGS = frozenset(
    f"tag:yaml.org,2002:{tag}"
    for tag in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge")
)


def steering(text: str) -> str | None:
    """The first control or bidirectional character of a text, line breaks and tabs aside, as U+ and number."""
    found = STEERING.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def read(folder: Path) -> Node | None:
    """The tree of `metamcp.yaml` in a folder; None without one, an empty mapping for an empty file.

    Raises:
        DeployError: FILE_ACCESS, or CONFIG_INVALID with every duplicate key, stray tag or syntax error in it.
    """
    path = folder / FILE
    if not there(path):
        if (other := path.with_suffix(".yml")).exists():
            raise failure(
                [Problem(Origin("file", file=other), f"this name is not read, the file is called {FILE}.")],
                hint=f"Rename it: mv {other} {path}",
            )
        return None
    return parse(text_of(path), path)


def above(folder: Path) -> str:
    """For a message about a missing file: the one in a folder above, which is not read; empty without one."""
    found = next((one / FILE for one in folder.parents if (one / FILE).is_file()), None)
    return f" ({found} is not read from here; -C {found.parent} names its folder)" if found else ""


def there(path: Path) -> bool:
    """Whether a file (or folder) is there to be read; a link to nothing and a pipe are errors, not absence.

    Raises:
        DeployError: FILE_ACCESS.
    """
    problem = ""
    if path.is_symlink() and not path.exists():
        problem = f"is a link to {path.readlink()}, which does not exist"
    elif path.exists() and not (path.is_file() or path.is_dir()):
        problem = "is no regular file"
    if problem:
        raise DeployError(
            Code.FILE_ACCESS, f"{path} {problem}.", hint=f"Make {path} a file that you can read."
        )
    return path.exists()


def text_of(path: Path) -> str:
    """The text of a small UTF-8 file (a byte order mark is dropped).

    Raises:
        DeployError: FILE_ACCESS, CONFIG_INVALID.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as e:
        raise DeployError(
            Code.FILE_ACCESS,
            f"{path} cannot be read: {e.strerror}.",
            hint=f"Make {path} a file that you can read.",
        ) from e
    if len(data) > _MOST_BYTES:
        raise _broken(path, None, "is larger than 1 MiB, which no configuration is.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data[: e.start].count(b"\n") + 1
        raise _broken(path, line, f"is not UTF-8 (byte 0x{data[e.start]:02x}).") from None


def parse(text: str, path: Path) -> Node:
    """As `read`, of a text; `path` is only named."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        what = ", ".join(t for t in (e.context, e.problem) if t)
        hint = " Indent with spaces." if "\\t" in what else ""
        raise _broken(path, mark.line + 1 if mark else None, f"is not YAML: {what}.{hint}") from None
    except yaml.reader.ReaderError as e:
        line = text[: e.position].count("\n") + 1
        raise _broken(
            path, line, f"holds a character that YAML does not allow: U+{ord(text[e.position]):04X}."
        ) from None
    except RecursionError:
        raise _broken(path, None, f"is nested deeper than {_DEEPEST} levels.") from None
    if root is None:
        return Node({}, Origin("file", file=path, line=1))
    reader = _Reader(path)
    node = reader.convert(root, "", root.start_mark.line + 1, 0)
    if not reader.problems and isinstance(node.value, str | list):
        kind = "a list" if isinstance(node.value, list) else f"a text (`{node.value[:40]}`)"
        reader.problem(node.origin, f"found {kind} at the top, expected keys such as `app:` and `targets:`.")
    if reader.problems:
        raise failure(reader.problems)
    return node if node.value is not None else Node({}, node.origin)


def _broken(path: Path, line: int | None, text: str) -> DeployError:
    return failure([Problem(Origin("file", file=path, line=line), text)])


class _Reader:
    """Turns YAML's nodes into ours and collects problems."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.count = 0

    def problem(self, origin: Origin, text: str) -> None:
        self.problems.append(Problem(origin, text))

    def convert(self, node: yaml.Node, key: str, line: int, depth: int) -> Node:
        import yaml

        origin = Origin("file", key, file=self.path, line=line)
        self.count += 1
        if self.count > _MOST_VALUES:
            raise failure(
                [Problem(origin, f"stands for more than {_MOST_VALUES} values once aliases are followed.")]
            )
        if depth > _DEEPEST:
            raise failure([Problem(origin, f"is nested deeper than {_DEEPEST} levels, or holds itself.")])
        if node.tag not in _TAGS:
            self.problem(
                origin, f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')} has no meaning here."
            )
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node, key, depth), origin)
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.convert(item, f"{key}.{n}", item.start_mark.line + 1, depth + 1)
                for n, item in enumerate(node.value)
            ]
            return Node(items, origin)
        if (wrong := steering(node.value)) and node.tag in _TAGS:
            self.problem(origin, f"holds the character {wrong}, which steers a terminal or reorders text.")
        empty = node.tag == "tag:yaml.org,2002:null"
        return Node(None if empty else str(node.value), origin)

    def _mapping(self, node: yaml.MappingNode, key: str, depth: int) -> dict[str, Node]:
        merged: dict[str, Node] = {}
        own: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for name_node, value in node.value:
            line = name_node.start_mark.line + 1
            name: Any = name_node.value
            if name_node.tag == "tag:yaml.org,2002:merge":
                merged = self._merged(value, key, line, depth) | merged
                continue
            path = f"{key}.{name}" if key else str(name)
            if isinstance(name, str) and (wrong := steering(name)):
                where = Origin("file", key, file=self.path, line=line)
                self.problem(
                    where, f"a key holds the character {wrong}, which steers a terminal or reorders text."
                )
            elif not isinstance(name, str):
                self.problem(Origin("file", key, file=self.path, line=line), "a key must be a plain word.")
            elif name in lines:
                where = Origin("file", path, file=self.path, line=line)
                self.problem(where, f"is given twice, first on line {lines[name]}.")
            else:
                lines[name] = line
                own[name] = self.convert(value, path, line, depth + 1)
        return merged | own

    def _merged(self, node: yaml.Node, key: str, line: int, depth: int) -> dict[str, Node]:
        """What `<<: *anchor` (or a list of them, the first wins) brings in."""
        import yaml

        result: dict[str, Node] = {}
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            there = self.convert(part, key, line, depth + 1)
            if isinstance(there.value, dict):
                result = there.value | result
            else:
                self.problem(there.origin, "`<<` needs an alias of a mapping.")
        return result
