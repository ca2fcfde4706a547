"""`config show`: every setting with its origin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from metamcp_deploy.config.declaration import SecretReference, fields
from metamcp_deploy.config.loading import Asked, Loaded, assemble
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.problems import DEFAULT, masked
from metamcp_deploy.config.tree import Node, at, nearest

_SECRET_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|(API|ACCESS|PRIVATE|ENCRYPTION)_?KEY", re.IGNORECASE
)
_STARS = "********"


@dataclass(frozen=True)
class Row:
    """One setting: its dotted key, its value as text (None when unset), and who stated it."""

    key: str
    value: str | None
    origin: str

    def as_dict(self) -> dict[str, str | None]:
        """For `-o json`."""
        return asdict(self)


def explain(
    folder: Path,
    *,
    target: str | None = None,
    flags: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    app: str | None = None,
    profile: str | None = None,
) -> list[Row]:
    """Every setting of a target with its origin, such as `metamcp.yaml:12 targets.dev.app.name`; secrets as stars.

    Args and errors are those of `load`.
    """
    return list(rows(assemble(folder, Asked(target, flags or {}, sets, environ, app, profile))))


def rows(loaded: Loaded) -> Iterator[Row]:
    """As `explain`, of settings that are loaded."""
    settings = loaded.project.settings
    yield Row("target", settings.target, str(loaded.chosen))
    for path, value in _leaves(settings):
        if path != ("target",):
            yield _row(settings, loaded.tree, path, value)


def _leaves(model: BaseModel, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    names = {field.alias or name: name for name, field in type(model).model_fields.items()}
    for key in fields(type(model)):
        path, value = (*prefix, key), getattr(model, names[key])
        if isinstance(value, BaseModel) and not isinstance(value, SecretReference):
            yield from _leaves(value, path)
        elif isinstance(value, dict):
            yield from (((*path, key), item) for key, item in value.items())
        else:
            yield path, value


def _row(settings: Settings, tree: Node, path: tuple[str, ...], value: Any) -> Row:
    key = ".".join(path)
    node = at(tree, path)
    if value is None and key in settings.defaults:
        default, source = settings.defaults[key]
        return Row(key, default, f"default: {source}" if source else str(DEFAULT))
    if node is None or (node.value is None and value is None):
        beside = key in ("overrides", "patches", "templates") and value is not None
        origin = "default: the folder beside metamcp.yaml" if beside else str(DEFAULT)
    else:
        origin = str(nearest(tree, path).origin)
    return Row(key, _shown(path, value), origin)


def _shown(path: tuple[str, ...], value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, SecretReference):
        return f"secret {value.secret}"
    if isinstance(value, tuple):
        return ", ".join(_item(item) for item in value) or None
    if path[:2] == ("app", "env") and _SECRET_NAME.search(path[2]):
        return _STARS
    return masked(str(value))


def _item(item: BaseModel | str) -> str:
    return item if isinstance(item, str) else " ".join(str(v) for v in item.model_dump().values() if v)
