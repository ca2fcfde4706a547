"""The layout of metamcp.yaml, derived from `Settings`, and what the keys of settings are.

Errors, `--set`, the METAMCP_ variables and the JSON Schema for editors are made from here.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from metamcp_deploy.config import database
from metamcp_deploy.config.constraints import Expected, Integer, Line, Section, TargetName
from metamcp_deploy.config.declaration import Model, Setting, declared, fields, section
from metamcp_deploy.config.model import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Place = Literal["top", "target"]


class _Target(Model):
    """One target. The settings that the build reads are the same for all, and stand at the top."""


class _Database(Model):
    """The database in which the app's principal creates its schema. Each kind has its own keys, as their texts say."""


class _File(Model):
    """metamcp.yaml."""

    version: Annotated[Literal[1], Integer, Expected("1, the only version there is")] = Field(
        default=1, description="version of this file's layout"
    )
    requires: Line | None = Field(
        default=None, description="range of this tool's versions, such as >=0.1,<0.2"
    )
    default_target: TargetName | None = Field(default=None, description="the target when none is named")


FILE_KEYS = frozenset({*_File.model_fields, "targets"})


@cache
def file() -> type[Model]:
    """The model of metamcp.yaml."""
    named: Any = Field(
        default_factory=dict, description="named environments; each overrides what stands at the top"
    )
    section: Any = Annotated[target(), Section()]
    return _derived("File", _File, "top", targets=(Annotated[dict[TargetName, section], Section()], named))


@cache
def target() -> type[Model]:
    """The model of one target."""
    return _derived("TargetSection", _Target, "target")


def _derived(name: str, base: type[Model], place: Place, **more: Any) -> type[Model]:
    """`base` with the settings that may be stated at a place of the file."""
    stated: dict[str, Any] = {
        key: (field.annotation, field)
        for key, field in Settings.model_fields.items()
        if declared(field).place in ("anywhere", place)
    }
    stated["database"] = (Annotated[_database(place), Section()], section())
    return create_model(name, __base__=base, __doc__=base.__doc__, **stated, **more)


def _database(place: Place) -> type[Model]:
    """The section `database` with the keys of every kind: the kind may be stated elsewhere than what it means."""
    stated: dict[str, Any] = {
        name: (field.annotation, field)
        for kind in reversed(database.KINDS.values())
        for name, field in kind.model_fields.items()
        if declared(field).place in ("anywhere", place)
    }
    stated["kind"] = (Literal[tuple(database.KINDS)], stated["kind"][1])
    name = "Database" if place == "top" else "TargetDatabase"
    return create_model(name, __base__=_Database, __doc__=_Database.__doc__, **stated)


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of metamcp.yaml, for editors."""
    made = file().model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **made, "title": "metamcp.yaml"}


@dataclass(frozen=True)
class Key:
    """One setting: its field, and who may state it."""

    field: FieldInfo
    setting: Setting

    @property
    def structured(self) -> bool:
        """Whether it is a list, which `--set` takes as YAML."""
        return any(get_origin(allowed) is tuple for allowed in _bare(self.field.annotation))


@cache
def settings() -> dict[str, Key]:
    """Dotted key → setting, of everything that a target has (`app.env` stands for `app.env.NAME`)."""
    return dict(_leaves(fields(Settings), "", Setting()))


def _leaves(below: Mapping[str, FieldInfo], prefix: str, around: Setting) -> Iterator[tuple[str, Key]]:
    for key, field in below.items():
        setting = declared(field).within(around)
        if inner := _keys(field.annotation):
            yield from _leaves(inner, f"{prefix}{key}.", setting)
        else:
            yield prefix + key, Key(field, setting)


def setting(key: str) -> Setting:
    """What is declared of a dotted key, or of the mapping that it is in."""
    known = settings()
    while key and key not in known:
        key = key.rpartition(".")[0]
    return known[key].setting if key else Setting()


@cache
def settable() -> dict[str, Key]:
    """The settings that a flag may state."""
    return {key: entry for key, entry in settings().items() if entry.setting.flags}


@cache
def variables() -> dict[str, str]:
    """METAMCP_ variable → dotted key: the key in capitals, its dots as underscores."""
    stated = (key for key, entry in settings().items() if entry.setting.variables)
    return {"METAMCP_" + key.upper().replace(".", "_"): key for key in stated}


@cache
def known_variables(kind: str = database.DEFAULT_KIND) -> dict[str, str]:
    """Variable that users of other tools know → dotted key, as it is meant for a kind of database."""
    named = {key: str(e.setting.variable) for key, e in reversed(settings().items()) if e.setting.variable}
    meant = sorted(named, key=lambda key: database.has(kind, key.removeprefix("database.")))
    return {named[key]: key for key in meant}


def keys_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys that may be stated at a path; none where any name may."""
    annotation: Any = model
    for step in path:
        inner = _keys(annotation)
        if inner:
            if str(step) not in inner:
                return []
            annotation = inner[str(step)].annotation
        else:
            arguments = [a for t in _bare(annotation) for a in get_args(t) if a is not Ellipsis]
            if not arguments:
                return []
            annotation = arguments[-1]
    return list(_keys(annotation))


def _keys(annotation: Any) -> dict[str, FieldInfo]:
    """The fields of the models that an annotation allows."""
    models = [t for t in _bare(annotation) if isinstance(t, type) and issubclass(t, BaseModel)]
    found: dict[str, FieldInfo] = {}
    for model in models:
        found |= {key: field for key, field in fields(model).items() if key not in found}
    return found


def _bare(annotation: Any) -> list[Any]:
    """The classes and generics that an annotation allows, without Annotated, Optional and unions."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [t for part in get_args(annotation) for t in _bare(part)]
    return [annotation]
