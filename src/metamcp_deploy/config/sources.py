"""What flags, environment and `.env` state, each as a layer with origins. The process's environment is never changed.

A flag is an option of its own, or `--set dotted.key=value`, which is typed by the models.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy.config import document, layout
from metamcp_deploy.config.database import DEFAULT_KIND
from metamcp_deploy.config.problems import DOTENV, Origin, Problem, alike, did_you_mean, failure, masked
from metamcp_deploy.config.secret import Secret, weakness
from metamcp_deploy.config.tree import Node, at, merge, nest
from metamcp_deploy.errors import Code

AUTH_SECRET = "BETTER_AUTH_SECRET"  # noqa: S105 -- the name of one
TARGET_VARIABLE = "DATABRICKS_BUNDLE_TARGET"
# TARGET alone is too common a word to be obeyed from anybody's environment.
DOTENV_TARGETS = (TARGET_VARIABLE, "TARGET")
# Names that look like ours, and those of them that are read elsewhere than in the settings.
_PREFIXES = ("METAMCP_", "LAKEBASE_", "BETTER_AUTH_")
_OF_OTHER_PARTS = ("METAMCP_CACHE_DIR", "METAMCP_TEST_CACHE", "METAMCP_TEST_UPSTREAM")
_ALIKE = 0.85
# Beside DATABRICKS_HOST or a profile, these tell a pipeline's login from a stray variable of a person's shell.
_CREDENTIALS = (
    *("DATABRICKS_CLIENT_ID", "DATABRICKS_TOKEN", "DATABRICKS_AUTH_TYPE", "DATABRICKS_OIDC_TOKEN"),
    *("DATABRICKS_OIDC_TOKEN_FILEPATH", "ARM_CLIENT_ID"),
)
_PIPELINE = ("CI", "APP_NAME", "LAKEBASE_INSTANCE_NAME")


@dataclass(frozen=True)
class Variable:
    """A value that is not empty, and where it was stated."""

    value: str
    origin: Origin


Variables = Mapping[str, Variable]
text_of = document.text_of


def environment(environ: Mapping[str, str]) -> dict[str, Variable]:
    """The process's variables; an empty one counts as not set."""
    return {k: Variable(v, Origin("environment", name=k)) for k, v in environ.items() if v.strip()}


def dotenv(folder: Path) -> dict[str, Variable]:
    """The variables of the folder's own `.env` (never a parent's); `${...}` is not expanded.

    Raises:
        DeployError: FILE_ACCESS, CONFIG_INVALID for lines that are no NAME=value (their text is not repeated).
    """
    path = folder / DOTENV
    return (
        parsed(path, text_of(path)) if document.there(path) and path.is_file() else {}
    )  # a virtual environment is often called .env, too


def parsed(path: Path, text: str) -> dict[str, Variable]:
    """As `dotenv`, of a text; `path` is only named."""
    from dotenv.parser import parse_stream

    read: dict[str, Variable] = {}
    problems: list[Problem] = []
    for binding in parse_stream(io.StringIO(text)):
        # A binding begins with the blank lines before it.
        blank = binding.original.string[: -len(binding.original.string.lstrip())] if binding.key else ""
        line = binding.original.line + blank.count("\n")
        origin = Origin(".env", name=binding.key or "", file=path, line=line)
        if binding.error:
            problems.append(Problem(origin, "this line is no NAME=value."))
        if not binding.key or not (binding.value or "").strip():
            continue
        before = read.get(binding.key)
        if before and before.value != binding.value and _obeyed(binding.key):
            problems.append(Problem(origin, f"is given twice, first on line {before.origin.line}."))
        read[binding.key] = Variable(binding.value or "", origin)
    problems += [
        Problem(v.origin, "holds `${`, which is not expanded here; write the value out.")
        for name, v in read.items()
        if _obeyed(name) and "${" in v.value
    ]
    if problems:
        raise failure(problems, hint=f"Correct {path}.")
    return read


def login_of_pipeline(variables: Variables) -> Origin | None:
    """Who names a workspace together with a login for it, or with what to deploy there; None where nobody does."""
    for name, beside in (
        ("DATABRICKS_HOST", (*_CREDENTIALS, *_PIPELINE)),
        ("DATABRICKS_CONFIG_PROFILE", _PIPELINE),
    ):
        if name in variables and any(other in variables for other in beside):
            return variables[name].origin
    return None


def _obeyed(name: str) -> bool:
    known = (*DOTENV_TARGETS, AUTH_SECRET)
    return name in known or name in layout.known_variables() or name in layout.variables()


def unknown(variables: Variables) -> list[tuple[Origin, str | None]]:
    """Variables that nothing obeys and that look like ours: (origin, the name that was meant, where one is alike)."""
    known = [*layout.known_variables(), *layout.variables(), *DOTENV_TARGETS, AUTH_SECRET]
    ours = [name for name in known if name.startswith(_PREFIXES)]
    found: list[tuple[Origin, str | None]] = []
    for name, variable in variables.items():
        if name in (*known, *_OF_OTHER_PARTS):
            continue
        # In `.env` everything is meant for this tool; the environment is everybody's.
        like = alike(name, known if variable.origin.kind == ".env" else ours, _ALIKE)
        if like or name.startswith(_PREFIXES):
            found.append((variable.origin, like))
    return found


def layer(variables: Variables, kind: str = DEFAULT_KIND) -> Node | None:
    """The settings among the variables, as a tree.

    Args:
        variables: of one source.
        kind: of the database, which decides what LAKEBASE_INSTANCE_NAME means.

    Raises:
        DeployError: CONFIG_INVALID for a line break in a value, CONFIG_CONFLICT for two names of one key that differ.
    """
    made: Node | None = None
    problems: list[Problem] = []
    for key, name, variable in _settings(variables, kind):
        value, path = variable.value.strip(), key.split(".")
        o = variable.origin
        origin = Origin(o.kind, key, o.name, o.file, o.line)
        if not value.isprintable():
            problems.append(Problem(origin, "holds a line break or another control character."))
            continue
        other = at(made, path)
        if other is not None and other.value != value:
            text = f"says `{masked(value)}`, but {other.origin} says `{masked(str(other.value))}`."
            raise failure(
                [Problem(origin, text)], Code.CONFIG_CONFLICT, f"Keep one of {name} and {other.origin.name}."
            )
        made = merge(made, nest(path, Node(value, origin)))
    if problems:
        raise failure(problems)
    return made


def _settings(variables: Variables, kind: str) -> Iterator[tuple[str, str, Variable]]:
    for names in (layout.known_variables(kind), layout.variables()):
        for name, key in names.items():
            if name in variables:
                yield key, name, variables[name]


def secrets(*layers: Variables) -> dict[str, Secret]:
    """The secret values among the variables, by name; earlier layers win.

    Raises:
        DeployError: CONFIG_INVALID for a value on several lines, a placeholder, and one that can be guessed.
    """
    variable = next((v[AUTH_SECRET] for v in layers if AUTH_SECRET in v), None)
    if variable is None:
        return {}
    if not variable.value.isprintable():
        raise failure([Problem(variable.origin, "holds a line break or another control character.")])
    if wrong := weakness(Secret(variable.value)):
        hint = (
            f"Take {variable.origin} out: the value in the secret scope stays, or a good one is made. "
            "Or give one of your own: openssl rand -base64 32"
        )
        raise failure([Problem(variable.origin, f"{wrong}.")], hint=hint)
    return {AUTH_SECRET: Secret(variable.value)}


def flags(options: Mapping[str, str], sets: Sequence[str]) -> Node | None:
    """All flags as a tree.

    Args:
        options: dotted key → value, from options of their own.
        sets: `key=value` words; the last of several for one key wins. An empty value unsets a key that may be unset.

    Raises:
        DeployError: USAGE for every unknown key at once, CONFIG_CONFLICT when `--set` and an option differ.
    """
    made: Node | None = None
    for key, value in options.items():
        origin = Origin("flag", key, layout.setting(key).option or key)
        made = merge(made, nest(key.split("."), Node(value, origin)))
    problems: list[Problem] = []
    for word in sets:
        node = _set(word, problems)
        if node is None:
            continue
        path = node.origin.key.split(".")
        other = at(made, path)
        if other and other.origin.name != "--set" and other.value != node.value:
            text = f"says {masked(str(node.value))}, but {other.origin.name} says {masked(str(other.value))}."
            raise failure([Problem(node.origin, text)], Code.CONFIG_CONFLICT, "Give one of the two.")
        made = merge(made, nest(path, node))
    if problems:
        raise failure(problems, Code.USAGE, "All keys: metamcp-deploy config show")
    return made


def _set(word: str, problems: list[Problem]) -> Node | None:
    key, equals, value = word.partition("=")
    key = key.strip()
    origin = Origin("flag", key, "--set")
    if not equals:
        problems.append(
            Problem(Origin("flag", "", "--set"), f"found `{masked(word)}`, expected dotted.key=value.")
        )
        return None
    if wrong := document.steering(value):
        problems.append(
            Problem(origin, f"holds the character {wrong}, which steers a terminal or reorders text.")
        )
        return None
    known = layout.settable()
    if key.startswith("app.env.") and key != "app.env.":
        return Node(value, origin)
    if key not in known or key == "app.env":
        problems.append(Problem(origin, _unknown(key, known)))
        return None
    if known[key].structured:
        return _structured(value, origin)
    optional = known[key].field.default is None
    return Node(None if optional and not value else value, origin)


def _structured(value: str, origin: Origin) -> Node:
    """A list, written as YAML (so JSON works too)."""

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
    if key.startswith("app.env"):
        return "name the variable: app.env.NAME=value, or app.env.NAME.secret=KEY."
    if key in layout.FILE_KEYS or key in layout.settings():
        return "is decided by metamcp.yaml alone."
    if any(k.startswith(f"{key}.") for k in known):
        return f"is a section; set one of {', '.join(k for k in known if k.startswith(f'{key}.'))}."
    return f"there is no such key.{did_you_mean(key, known)}"
