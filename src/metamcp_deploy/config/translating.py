"""Turns what pydantic says about a tree into problems with file, line, found and expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from metamcp_deploy.config import shape
from metamcp_deploy.config.kinds import EXPECTED
from metamcp_deploy.config.layout import File
from metamcp_deploy.config.origin import Problem, did_you_mean, found
from metamcp_deploy.config.tree import Node, nearest, plain

M = TypeVar("M", bound=BaseModel)
_KEY = "[key]"


def validated(model: type[M], tree: Node, also: Mapping[str, Any], problems: list[Problem]) -> M | None:
    """The tree as a model; None, with the reasons added to `problems`, when it does not fit.

    Args:
        model: `File` or `Settings`.
        tree: its values.
        also: values that stand in no source.
        problems: is added to.
    """
    try:
        return model.model_validate({**plain(tree), **also}, by_alias=True, by_name=False)
    except ValidationError as e:
        problems += [_problem(model, tree, dict(error)) for error in e.errors(include_url=False)]
        return None


def _problem(model: type[BaseModel], tree: Node, error: dict[str, Any]) -> Problem:
    location = tuple(error["loc"])
    is_key = location[-1:] == (_KEY,)
    path = location[:-1] if is_key else location
    return Problem(nearest(tree, path).origin, _text(model, path, is_key, error))


def _text(model: type[BaseModel], path: tuple[str | int, ...], is_key: bool, error: dict[str, Any]) -> str:
    kind = error["type"]
    if kind == "value_error":
        return _sentence(str(error["ctx"]["error"]))
    if kind == "missing":
        return f"`{path[-1]}` is missing."
    if kind == "extra_forbidden":
        return _unknown(model, path)
    shown = f"the name `{path[-1]}`" if is_key else found(error["input"])
    if "database" in path and path[-1] in ("url", "password"):
        shown = "a text"  # it may be the secret itself
    elif not is_key and "env" in path and isinstance(error["input"], str):
        shown = "a line break in it"  # the one thing a text can be wrong by; it may be a secret
    return f"found {shown}, expected {error['msg'] if kind == EXPECTED else _expected(error)}."


def _unknown(model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    if model is File and len(path) > 2 and path[0] == "targets":
        below = path[2:]
        if str(below[-1]) in shape.keys_at(File, below[:-1]) and below[-1] not in (
            "version",
            "requires",
            "targets",
        ):
            return (
                f"a target may not override `{'.'.join(map(str, below))}`: one release serves every target. "
                "Move it to the top of the file."
            )
    return f"there is no such key.{did_you_mean(str(path[-1]), shape.keys_at(model, path[:-1]))}"


def _expected(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return "a section with keys of its own"
    if kind in ("tuple_type", "list_type"):
        return "a list"
    if kind in ("literal_error", "enum"):
        return str(error["ctx"]["expected"]).replace("'", "")
    if kind == "string_type":
        return "a text"
    return str(error["msg"]).removeprefix("Input should be ")


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."
