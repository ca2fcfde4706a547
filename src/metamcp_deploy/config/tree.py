"""Values that know who stated them: a tree of mappings, lists and texts, merged layer over layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from metamcp_deploy.config.problems import Origin

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its origin. Scalars are the text as written, so that no reading of YAML's changes them; or None."""

    value: str | dict[str, Node] | list[Node] | None
    origin: Origin


def merge(below: Node | None, above: Node | None) -> Node | None:
    """`above` laid over `below`: mappings key by key, everything else whole. An empty section states nothing."""
    if below is None or above is None:
        return above or below
    if above.value is None and isinstance(below.value, dict | list):
        return below
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    merged = dict(below.value)
    for key, node in above.value.items():
        joined = merge(merged.get(key), node)
        if joined is not None:
            merged[key] = joined
    return Node(merged, above.origin)


def plain(node: Node | None) -> Any:
    """Without origins: dict, list, str, None."""
    if node is None:
        return None
    if isinstance(node.value, dict):
        return {k: plain(v) for k, v in node.value.items()}
    if isinstance(node.value, list):
        return [plain(v) for v in node.value]
    return node.value


def at(node: Node | None, path: Sequence[str | int]) -> Node | None:
    """The node at a path, or None."""
    for step in path:
        value = node.value if node else None
        if isinstance(value, dict):
            node = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            node = value[step]
        else:
            return None
    return node


def nearest(node: Node, path: Sequence[str | int]) -> Node:
    """The node at a path, or the deepest one on the way to it."""
    for length in range(len(path), 0, -1):
        if there := at(node, path[:length]):
            return there
    return node


def leaves(node: Node | None, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every value that is no mapping, with its path."""
    if node is None:
        return
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield from leaves(child, (*path, key))
    else:
        yield path, node


def nest(path: Sequence[str | int], value: Node) -> Node:
    """Mappings around a value, so that it stands at `path`."""
    for key in reversed(path):
        value = Node({str(key): value}, value.origin)
    return value


def without(node: Node | None, *paths: Sequence[str]) -> Node | None:
    """The tree without what stands at these paths."""
    for path in paths:
        if node is not None and at(node, path) is not None:
            node = _without(node, path)
    return node


def _without(node: Node, path: Sequence[str]) -> Node:
    if not isinstance(node.value, dict):
        return node
    first, *rest = path
    if not rest:
        return Node({k: v for k, v in node.value.items() if k != first}, node.origin)
    return Node({**node.value, first: _without(node.value[first], rest)}, node.origin)
