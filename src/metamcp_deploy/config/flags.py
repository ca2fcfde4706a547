"""What the command line says: dedicated options, and `--set dotted.key=value` typed by the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metamcp_deploy.config import document, shape
from metamcp_deploy.config.origin import Origin, Problem, did_you_mean, failure, masked
from metamcp_deploy.config.tree import Node, at, merge, nest
from metamcp_deploy.errors import Code

# Dotted keys that have an option of their own.
_OPTIONS = {
    "upstream.url": "--url",
    "upstream.ref": "--ref",
    "app.name": "--app",
    "workspace.profile": "--profile",
}
_LISTS = ("app.permissions", "app.child_env", "app.operators")


def layer(flags: Mapping[str, str], sets: Sequence[str]) -> Node | None:
    """All flags as a tree.

    Args:
        flags: dotted key → value, from options of their own.
        sets: `key=value` words; the last of several for one key wins. An empty value unsets a key that may be unset.

    Raises:
        DeployError: CONFIG_INVALID for every unknown key at once, CONFIG_CONFLICT when `--set` and an option differ.
    """
    made: Node | None = None
    for key, value in flags.items():
        made = merge(made, nest(key.split("."), Node(value, Origin("flag", key, _OPTIONS.get(key, key)))))
    problems: list[Problem] = []
    for word in sets:
        node = _node(word, problems)
        if node is None:
            continue
        path = node.origin.key.split(".")
        other = at(made, path)
        if other and other.origin.name != "--set" and other.value != node.value:
            text = f"says {masked(str(node.value))}, but {other.origin.name} says {masked(str(other.value))}."
            raise failure([Problem(node.origin, text)], Code.CONFIG_CONFLICT, "Give one of the two.")
        made = merge(made, nest(path, node))
    if problems:
        raise failure(problems, hint="See all keys with `metamcp-deploy config show`.")
    return made


def _node(word: str, problems: list[Problem]) -> Node | None:
    key, equals, value = word.partition("=")
    key = key.strip()
    origin = Origin("flag", key, "--set")
    if not equals:
        problems.append(
            Problem(Origin("flag", "", "--set"), f"found `{masked(word)}`, expected dotted.key=value.")
        )
        return None
    known = shape.settable()
    if key.startswith("app.env.") and key != "app.env.":
        return Node(value, origin)
    if key in _LISTS:
        return _structured(value, origin)
    if key not in known or key == "app.env":
        problems.append(Problem(origin, _unknown(key, known)))
        return None
    optional = not known[key].is_required() and known[key].default is None
    return Node(None if optional and not value else value, origin)


def _structured(value: str, origin: Origin) -> Node:
    """A list or mapping, written as YAML (so, also as JSON)."""

    def named(node: Node) -> Node:
        if isinstance(node.value, dict):
            return Node({k: named(v) for k, v in node.value.items()}, origin)
        return Node([named(v) for v in node.value] if isinstance(node.value, list) else node.value, origin)

    wrapped = document.parse(f"value: {value}\n", Path("--set"))
    inner = at(wrapped, ["value"])
    return named(inner) if inner else Node(None, origin)


def _unknown(key: str, known: Mapping[str, object]) -> str:
    first = key.split(".")[0]
    if first == "targets":
        return "name the target with -t, and the key as it stands below the target."
    if key in ("embedded", "protected", "version", "requires", "default_target", "target"):
        return "is decided by metamcp.yaml alone."
    if key.startswith("app.env"):
        return "name the variable: app.env.NAME=value, or app.env.NAME.secret=KEY."
    if any(k.startswith(f"{key}.") for k in known):
        return f"is a section; set one of {', '.join(k for k in known if k.startswith(f'{key}.'))}."
    return f"there is no such key.{did_you_mean(key, known)}"
