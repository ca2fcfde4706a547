"""The targets of metamcp.yaml as the file alone has them, with everything checked that needs no other source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import __version__
from metamcp_deploy.config import database, layout, rules, targets
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.problems import (
    FILE,
    ConfigurationError,
    Origin,
    Problem,
    did_you_mean,
    failure,
)
from metamcp_deploy.config.tree import Node, at, merge, without
from metamcp_deploy.config.validation import absolute_paths, validated
from metamcp_deploy.errors import Code

LOGIN = (("workspace", "host"), ("workspace", "profile"), ("workspace", "id"))


@dataclass(frozen=True)
class FileTarget:
    """A target as the file alone has it: its own section, that over the top of the file, and what comes out."""

    stated: Node | None
    merged: Node
    settings: Settings


def read_targets(tree: Node | None, folder: Path) -> dict[str, FileTarget]:
    """Every target the file names, wholly checked.

    Raises:
        DeployError: TOOL_VERSION, CONFIG_INVALID with all problems of the file.
    """
    if tree is None:
        return {}
    requirement(tree)
    problems: list[Problem] = []
    checked = validated(layout.file(), tree, {}, problems)
    absolute_paths(tree, folder, problems)
    default, names = at(tree, ["default_target"]), targets.in_file(tree)
    if (
        checked
        and default
        and default.value
        and default.value not in [*names, *targets.implicit(names, None)]
    ):
        problems.append(
            Problem(
                default.origin,
                f"there is no target `{default.value}`.{did_you_mean(str(default.value), names)}",
            )
        )
    if problems:
        raise failure(problems)
    found = {}
    for name in names:
        try:
            found[name] = file_target(tree, name, folder)
        except ConfigurationError as e:
            problems += e.problems
    if problems:
        raise failure(problems)
    for made in found.values():
        problems += rules.of_target(made.settings, made.stated, made.merged)
    problems += rules.between_targets([(t.settings, t.merged.origin) for t in found.values()])
    if problems:
        raise failure(problems)
    return found


def requirement(tree: Node) -> None:
    """Holds `requires` against this tool's version, before keys that only another version knows are errors.

    Raises:
        DeployError: TOOL_VERSION, CONFIG_INVALID.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    node = at(tree, ["requires"])
    if node is None or not isinstance(node.value, str):
        return
    try:
        fits = SpecifierSet(node.value).contains(__version__, prereleases=True)
    except InvalidSpecifier:
        raise failure(
            [Problem(node.origin, f"found `{node.value}`, expected a range such as >=0.1,<0.2.")]
        ) from None
    if not fits:
        text = f"needs metamcp-deploy {node.value}, this is {__version__}."
        hint = f"Install one that fits: pip install 'metamcp-deploy{node.value}'"
        raise failure([Problem(node.origin, text)], Code.TOOL_VERSION, hint)


def file_target(tree: Node | None, name: str, folder: Path) -> FileTarget:
    """One target from the file alone (which may not name it, or not exist)."""
    origin = Origin("file", file=folder / FILE, line=1)
    stated = at(tree, ["targets", name])
    if stated is not None and stated.value is None:
        stated = Node({}, stated.origin)
    top = without(tree, *[(key,) for key in layout.FILE_KEYS])
    embedded = _is_embedded(name, stated)
    if embedded:
        top = without(top, *LOGIN)
    merged = merge(database.inherited(top, stated), stated) or Node({}, origin)
    problems: list[Problem] = []
    settings = settings_of(merged, name, embedded, folder, problems)
    if settings is None or problems:
        raise failure(problems)
    return FileTarget(stated, merged, settings)


def _is_embedded(name: str, stated: Node | None) -> bool:
    """What the target says; a target called `local` is embedded unless it denies it."""
    node = at(stated, ["embedded"])
    return name == targets.LOCAL if node is None else str(node.value).lower() == "true"


def settings_of(
    merged: Node, name: str, embedded: bool, folder: Path, problems: list[Problem]
) -> Settings | None:
    """A merged tree as settings, its paths absolute; None, with `problems` longer, when it is none."""
    also: dict[str, Any] = {"target": name, "embedded": embedded}
    settings = validated(Settings, merged, also | absolute_paths(merged, folder, problems), problems)
    if settings is not None:
        problems += rules.of_settings(settings, merged)
    return settings
