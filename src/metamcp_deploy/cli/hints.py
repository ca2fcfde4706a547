"""The commands of hints, with the options of the run that shows them: they can be pasted as they stand.

A part that reports a failure need not know how the command was called. What was typed goes on counting; what was not
has the same default again.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

# Commands that take --app; those that need metamcp.yaml; and those of a folder, whatever the target.
TAKE_APP = frozenset(
    {
        *("status", "health", "logs", "token", "history", "rollback", "start", "stop", "preflight", "doctor"),
        *("open", "restart", "secrets list", "secrets rotate", "release list", "release prune"),
        *("db status", "db check", "db sessions", "db credential", "db migrate"),
        *("db psql", "db backup", "db restore", "db adopt"),
    }
)
TAKE_TARGET = frozenset(
    {
        *("prepare", "patch", "build", "bundle-deploy", "app-deploy", "deploy", "plan", "destroy"),
        *("secrets set", "release show", "release diff", "release advisories", "config show", "config check"),
    }
)
OF_A_FOLDER = frozenset(
    {
        *("init", "demo", "config schema", "local up", "local down", "local status", "local reset"),
        *("local faults add", "local faults list", "local faults clear"),
    }
)
COMMAND = re.compile(
    r"metamcp-deploy (?P<words>(?:(?:secrets|release|config|db|local(?: faults)?) )?[a-z][a-z-]*\b)"
    r"(?P<rest>(?:(?![`;|<)]| && | \(|[.,:]? *$|\. |, |: ).)*)"
)


@dataclass(frozen=True)
class Typed:
    """What a command was given of the common options."""

    target: str | None = None
    profile: str | None = None
    app: str | None = None
    directory: Path | None = None


def completed(text: str, typed: Typed) -> str:
    """A hint whose commands mean the target, app, profile and folder that the run was given."""
    return COMMAND.sub(lambda found: _completed(found, typed), text)


def _completed(found: re.Match[str], typed: Typed) -> str:
    words, rest = found["words"], found["rest"]
    if words not in TAKE_APP | TAKE_TARGET | OF_A_FOLDER:
        return found[0]
    given = shlex.split(rest) if rest.count("'") % 2 == 0 and rest.count('"') % 2 == 0 else rest.split()
    stated = {word.partition("=")[0] for word in given}
    more = [option for option in _options(words, typed) if not stated & _ALIKE[option[0]]]
    return " ".join(["metamcp-deploy", words, *(f"{name} {value}" for name, value in more)]) + rest


_ALIKE = {
    "-t": {"-t", "--target", "--app"},
    "--app": {"-t", "--target", "--app"},
    "-p": {"-p", "--profile"},
    "-C": {"-C", "--directory"},
}


def _options(words: str, typed: Typed) -> list[tuple[str, str]]:
    bare = typed.app is not None and typed.target is None
    options: list[tuple[str, str | None]] = []
    if words not in OF_A_FOLDER:
        if bare and words in TAKE_APP:
            options = [("--app", typed.app), ("-p", typed.profile)]
        else:
            options = [("-t", "TARGET" if bare else typed.target), ("-p", None if bare else typed.profile)]
    options.append(("-C", str(typed.directory) if typed.directory else None))
    return [(name, shlex.quote(value)) for name, value in options if value]
