"""What keys the models have: for unknown-key errors, `--set` and the METAMCP_ variables."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from metamcp_deploy.config.model import Settings

# Decided by the file alone: a stray variable or flag must not turn a target into another kind of target.
_FILE_ONLY = frozenset({"target", "embedded", "protected"})
_NOT_TEXT = frozenset({"app.permissions", "app.env"})


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by the key that a file uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _bare(annotation: Any) -> list[Any]:
    """The classes and generics that an annotation allows, without Annotated, Optional and unions."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [t for part in get_args(annotation) for t in _bare(part)]
    return [annotation]


def section(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation stands for, or None."""
    return next((t for t in _bare(annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None)


def keys_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys that may stand at a path; none where any name may."""
    annotation: Any = model
    for step in path:
        if (inner := section(annotation)) is not None:
            field = fields(inner).get(str(step))
            if field is None:
                return []
            annotation = field.annotation
        else:
            arguments = [a for t in _bare(annotation) for a in get_args(t) if a is not Ellipsis]
            if not arguments:
                return []
            annotation = arguments[-1]
    inner = section(annotation)
    return list(fields(inner)) if inner else []


@cache
def settable() -> dict[str, FieldInfo]:
    """Dotted key → field of everything that a flag may set (`app.env` stands for `app.env.NAME`)."""
    return {key: field for key, field in _leaves(Settings) if key not in _FILE_ONLY}


@cache
def variables() -> dict[str, str]:
    """METAMCP_ variable → dotted key: the key in capitals, its dots as underscores."""
    return {"METAMCP_" + key.upper().replace(".", "_"): key for key in settable() if key not in _NOT_TEXT}


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for key, field in fields(model).items():
        inner = section(field.annotation)
        if inner is None:
            yield prefix + key, field
        else:
            yield from _leaves(inner, f"{prefix}{key}.")
