"""Turns a tree into settings: absolute paths, values held against the models, errors as problems with their origin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from metamcp_deploy.config import database, layout
from metamcp_deploy.config.constraints import CONFIDENTIAL
from metamcp_deploy.config.problems import Problem, did_you_mean, found
from metamcp_deploy.config.tree import Node, at, nearest, plain

M = TypeVar("M", bound=BaseModel)
_KEY = "[key]"
FOLDERS = ("overrides", "patches", "templates")


def validated(model: type[M], tree: Node, also: Mapping[str, Any], problems: list[Problem]) -> M | None:
    """The tree as a model; None, with the reasons added to `problems`, when it does not fit.

    Args:
        model: of metamcp.yaml, or `Settings`.
        tree: its values.
        also: values that no source states.
        problems: is added to.
    """
    try:
        return model.model_validate({**plain(tree), **also}, by_alias=True, by_name=False)
    except ValidationError as e:
        problems += [_problem(model, tree, dict(error)) for error in e.errors(include_url=False)]
        return None


def _problem(model: type[BaseModel], tree: Node, error: dict[str, Any]) -> Problem:
    path, kind = tuple(error["loc"]), ""
    if path[:1] == ("database",) and len(path) > 1 and path[1] in database.KINDS:
        kind, path = (
            str(path[1]),
            (path[0], *path[2:]),
        )  # where the models of several kinds may be, one was chosen
    elif error["type"] == "union_tag_invalid":
        path = (*path, "kind")
    is_key = path[-1:] == (_KEY,)
    path = path[:-1] if is_key else path
    text = kind and error["type"] == "extra_forbidden" and database.stray(kind, str(path[1]))
    return Problem(nearest(tree, path).origin, text or _text(model, path, is_key, error))


def _text(model: type[BaseModel], path: tuple[str | int, ...], is_key: bool, error: dict[str, Any]) -> str:
    kind = error["type"]
    if kind == "value_error":
        return _sentence(str(error["ctx"]["error"]))
    if kind == "missing":
        return f"`{path[-1]}` is missing."
    if kind == "extra_forbidden":
        return _unknown(model, path)
    shown = f"the name `{path[-1]}`" if is_key else found(error["input"])
    if kind == CONFIDENTIAL:
        shown = "a text"  # it may be the secret itself
    elif kind == "union_tag_invalid":
        shown = found(error["ctx"]["tag"])
    elif not is_key and "env" in path and isinstance(error["input"], str):
        shown = "a line break in it"  # the one thing a text can be wrong by; it may be a secret
    return f"found {shown}, expected {_expected(error)}."


def _unknown(model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    below = path[2:] if path[0] == "targets" else ()
    if below and str(below[-1]) in layout.keys_at(model, below[:-1]) and below[0] not in layout.FILE_KEYS:
        return (
            f"a target may not override `{'.'.join(map(str, below))}`: one release serves every target. "
            "Move it to the top of the file."
        )
    return f"there is no such key.{did_you_mean(str(path[-1]), layout.keys_at(model, path[:-1]))}"


def _expected(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return "a section with keys of its own"
    if kind in ("tuple_type", "list_type"):
        return "a list"
    if kind in ("literal_error", "enum"):
        return str(error["ctx"]["expected"]).replace("'", "")
    if kind == "union_tag_invalid":
        *first, last = database.KINDS
        return f"{', '.join(first)} or {last}"
    if kind == "string_type":
        return "a text"
    return str(error["msg"]).removeprefix("Input should be ")


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


def absolute_paths(tree: Node, folder: Path, problems: list[Problem]) -> dict[str, Any]:
    """The sections and keys of a tree that hold paths, made absolute, to be laid over the plain tree.

    Those of the file and of `.env` are relative to their folder, those of flags to the current one. The user's own
    folders are by default those beside metamcp.yaml.

    Args:
        tree: of settings, or of the whole file.
        folder: holds metamcp.yaml.
        problems: is added to.
    """
    made: dict[str, Any] = {}
    for name in FOLDERS:
        node = at(tree, [name])
        if node is None or not isinstance(node.value, str):
            made[name] = folder / name if (folder / name).is_dir() else None
        elif path := _absolute(node, folder, problems):
            made[name] = path
            if wrong := _unfit(path, folder):
                problems.append(Problem(node.origin, wrong))
    for section, key in (("network", "ca_bundle"), ("upstream", "url")):
        node = at(tree, [section, key])
        if node is None or not isinstance(node.value, str) or (key == "url" and not _is_path(node.value)):
            continue
        if path := _absolute(node, folder, problems):
            made[section] = {**plain(at(tree, [section])), key: str(path)}
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
