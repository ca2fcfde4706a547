"""Paths in settings, made absolute: those of the file are relative to it, those of flags to the current folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metamcp_deploy.config.origin import Problem, found
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
        elif path := _absolute(node, folder, made.problems):
            made.values[name] = path
            if wrong := _unfit(path, folder):
                made.problems.append(Problem(node.origin, wrong))
    for section, key in (("network", "ca_bundle"), ("upstream", "url")):
        node = at(tree, [section, key])
        if node is None or not isinstance(node.value, str) or (key == "url" and not _is_path(node.value)):
            continue
        if path := _absolute(node, folder, made.problems):
            made.values[section] = {**plain(at(tree, [section])), key: str(path)}
    return made


def _is_path(url: str) -> bool:
    return url in (".", "..") or url.startswith(("./", "../", "~", "/"))


def _unfit(path: Path, folder: Path) -> str | None:
    """Why a folder cannot be the user's overrides, patches or templates."""
    if not path.is_dir():
        return f"there is no folder {path}."
    if path == folder or path in folder.parents or (folder / "build") in (path, *path.parents):
        return f"{path} holds what stages make; name a folder of its own."
    return None


def _absolute(node: Node, folder: Path, problems: list[Problem]) -> Path | None:
    base = folder if node.origin.kind in ("file", ".env") else Path.cwd()
    try:
        path = (base / Path(str(node.value)).expanduser()).resolve()
        path.is_dir()  # says whether the system takes such a name at all
    except (OSError, RuntimeError, ValueError) as e:
        why = (
            "there is no such user"
            if isinstance(e, RuntimeError)
            else (getattr(e, "strerror", None) or str(e))
        )
        problems.append(Problem(node.origin, f"found {found(node.value)}, expected a path ({why})."))
        return None
    return path
