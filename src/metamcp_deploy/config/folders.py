"""Paths in settings, made absolute: those of the file are relative to it, those of flags to the current folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metamcp_deploy.config.origin import Problem
from metamcp_deploy.config.tree import Node, at, plain

NAMES = ("overrides", "patches", "templates")


@dataclass
class Located:
    """Sections and keys with absolute paths, to be laid over the plain tree; and what is wrong with folders."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def located(tree: Node, folder: Path) -> Located:
    """The paths of a tree: the user's own folders (by default those beside metamcp.yaml), CA bundle, upstream path."""
    made = Located()
    for name in NAMES:
        node = at(tree, [name])
        if node is None or not isinstance(node.value, str):
            made.values[name] = folder / name if (folder / name).is_dir() else None
            continue
        path = _absolute(node, folder)
        made.values[name] = path
        if not path.is_dir():
            made.problems.append(Problem(node.origin, f"there is no folder {path}."))
        elif path == folder or path in folder.parents or (folder / "build") in (path, *path.parents):
            made.problems.append(
                Problem(node.origin, f"{path} holds what stages make; name a folder of its own.")
            )
    for section, key in (("network", "ca_bundle"), ("upstream", "url")):
        node = at(tree, [section, key])
        if node and isinstance(node.value, str) and (key != "url" or _is_path(node.value)):
            made.values[section] = {**plain(at(tree, [section])), key: str(_absolute(node, folder))}
    return made


def _is_path(url: str) -> bool:
    return url in (".", "..") or url.startswith(("./", "../", "~", "/"))


def _absolute(node: Node, folder: Path) -> Path:
    base = folder if node.origin.kind in ("file", ".env") else Path.cwd()
    return (base / Path(str(node.value)).expanduser()).resolve()
