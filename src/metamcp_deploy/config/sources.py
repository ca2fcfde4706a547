"""What the environment and `.env` say, each as a layer with origins. Nothing here changes the process's environment."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy.config import shape
from metamcp_deploy.config.document import text_of
from metamcp_deploy.config.origin import DOTENV, Origin, Problem, failure, masked
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.config.tree import Node, at, merge, nest
from metamcp_deploy.errors import Code

# The names that users of the predecessor and of the official command line know.
KNOWN = {
    "METAMCP_REPO_URL": "upstream.url",
    "METAMCP_REF": "upstream.ref",
    "APP_NAME": "app.name",
    "DATABRICKS_CONFIG_PROFILE": "workspace.profile",
    "DATABRICKS_HOST": "workspace.host",
    "LAKEBASE_INSTANCE_NAME": "database.project",
    "LAKEBASE_DATABASE_NAME": "database.name",
}
AUTH_SECRET = "BETTER_AUTH_SECRET"  # noqa: S105 -- the name of one
TARGET_VARIABLE = "DATABRICKS_BUNDLE_TARGET"
# TARGET alone is too common a word to be obeyed from anybody's environment.
DOTENV_TARGETS = (TARGET_VARIABLE, "TARGET")


@dataclass(frozen=True)
class Variable:
    """A value that is not empty, and where it was stated."""

    value: str
    origin: Origin


Variables = Mapping[str, Variable]


def environment(environ: Mapping[str, str]) -> dict[str, Variable]:
    """The process's variables; an empty one counts as not set."""
    return {k: Variable(v, Origin("environment", name=k)) for k, v in environ.items() if v.strip()}


def dotenv(folder: Path) -> dict[str, Variable]:
    """The variables of the folder's own `.env` (never a parent's); `${...}` is not expanded.

    Raises:
        DeployError: FILE_ACCESS, CONFIG_INVALID for lines that are no NAME=value (their text is not repeated).
    """
    from dotenv.parser import parse_stream

    path = folder / DOTENV
    if not path.is_file():  # a virtual environment is often called .env, too
        return {}
    read: dict[str, Variable] = {}
    problems: list[Problem] = []
    for binding in parse_stream(io.StringIO(text_of(path))):
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


def _obeyed(name: str) -> bool:
    return name in KNOWN or name in DOTENV_TARGETS or name == AUTH_SECRET or name in shape.variables()


def misspelt(variables: Variables) -> list[tuple[Origin, str]]:
    """METAMCP_ variables that nothing obeys and that look like one that is: (origin, that name)."""
    known = [*(n for n in KNOWN if n.startswith("METAMCP_")), *shape.variables()]
    unknown = {n: v for n, v in variables.items() if n.startswith("METAMCP_") and n not in known}
    close = ((v.origin, difflib.get_close_matches(n, known, 1, 0.88)) for n, v in unknown.items())
    return [(origin, names[0]) for origin, names in close if names]


def layer(variables: Variables, instance_key: str = KNOWN["LAKEBASE_INSTANCE_NAME"]) -> Node | None:
    """The settings among the variables, as a tree.

    Args:
        variables: of one source.
        instance_key: what LAKEBASE_INSTANCE_NAME stands for; see `databases.instance_key`.

    Raises:
        DeployError: CONFIG_INVALID for a line break in a value, CONFIG_CONFLICT for two names of one key that differ.
    """
    made: Node | None = None
    problems: list[Problem] = []
    for key, name, variable in _settings(variables, instance_key):
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


def _settings(variables: Variables, instance_key: str) -> Iterator[tuple[str, str, Variable]]:
    for names in (KNOWN | {"LAKEBASE_INSTANCE_NAME": instance_key}, shape.variables()):
        for name, key in names.items():
            if name in variables:
                yield key, name, variables[name]


def secrets(*layers: Variables) -> dict[str, Secret]:
    """The secret values among the variables, by name; earlier layers win.

    Raises:
        DeployError: CONFIG_INVALID for a value on several lines, or one that is a placeholder.
    """
    variable = next((v[AUTH_SECRET] for v in layers if AUTH_SECRET in v), None)
    if variable is None:
        return {}
    if not variable.value.isprintable():
        raise failure([Problem(variable.origin, "holds a line break or another control character.")])
    if variable.value.startswith("${"):
        raise failure([Problem(variable.origin, "is a placeholder that nobody filled in.")])
    return {AUTH_SECRET: Secret(variable.value)}
