"""Where a value was stated, what is wrong with it, and how both are said to a person."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metamcp_deploy.errors import Code, DeployError

FILE = "metamcp.yaml"
DOTENV = ".env"
Kind = Literal["flag", "environment", ".env", "file", "default"]

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")


@dataclass(frozen=True)
class Origin:
    """Who stated a value: `key` is the dotted path as written there, `name` the option or variable."""

    kind: Kind
    key: str = ""
    name: str = ""
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.file.name}:{self.line} " if self.file and self.line else ""
        if self.kind == "file":
            return f"{where}{self.key}".rstrip()
        if self.kind == ".env":
            return f"{where}{self.name}".rstrip()
        return f"{self.kind} {self.name}".rstrip()


DEFAULT = Origin("default")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, and what was found and expected. Never holds a secret."""

    origin: Origin
    text: str

    def __str__(self) -> str:
        o = self.origin
        if o.file is None:
            return f"{o} (`{o.key}`): {self.text}" if o.key else f"{o}: {self.text}"
        where = f"{o.file}:{o.line}" if o.line else str(o.file)
        what = o.name if o.kind == ".env" else o.key
        return f"{where}: `{what}`: {self.text}" if what else f"{where}: {self.text}"

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        o = self.origin
        return {
            "file": str(o.file) if o.file else None,
            "line": o.line,
            "origin": str(o),
            "key": o.key,
            "problem": self.text,
        }


class ConfigurationError(DeployError):
    """Of one or more problems, which `config check` lists."""

    def __init__(
        self, code: Code, message: str, *, hint: str, detail: str | None, problems: Sequence[Problem]
    ) -> None:
        super().__init__(code, message, hint=hint, detail=detail)
        self.problems = list(problems)


def ordered(problems: Iterable[Problem]) -> list[Problem]:
    """Without repetitions, by file and line."""
    return sorted(dict.fromkeys(problems), key=lambda p: (str(p.origin.file or ""), p.origin.line or 0))


def failure(
    problems: Sequence[Problem], code: Code = Code.CONFIG_INVALID, hint: str | None = None
) -> ConfigurationError:
    """One error for all problems: a single one in the message, several in the detail."""
    problems = ordered(problems)
    message, detail = str(problems[0]), None
    if len(problems) > 1:
        message = f"The configuration has {len(problems)} problems. The first: {message}"
        detail = "\n".join(str(p) for p in problems)
    return ConfigurationError(code, message, hint=hint or _hint(problems), detail=detail, problems=problems)


def _hint(problems: Sequence[Problem]) -> str:
    outside = [p.origin for p in problems if p.origin.kind != "file"]
    if len(outside) == len(problems):
        return f"Change {outside[0]}, then run the command again."
    return "Correct the file, then run `metamcp-deploy config check`."


def alike(found: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that is most like another; None where none is."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(found, list(known), 1, cutoff)), None)


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """` Did you mean ...?`, or the list of what there is (when short), or nothing."""
    names = list(known)
    lowered = {n.lower(): n for n in names}
    close = alike(found.lower().replace("-", "_"), lowered) or alike(found.lower(), lowered)
    if close:
        return f" Did you mean `{lowered[close]}`?"
    return f" There is: {', '.join(names)}." if 0 < len(names) <= 12 else ""


def masked(text: str) -> str:
    """The text with the user and password of URLs as stars."""
    return _CREDENTIALS.sub("***@", text)


def found(value: Any) -> str:
    """A value as an error shows it."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = masked(str(value))
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    return f"`{text}`" if len(text) <= 80 else f"`{text[:77]}...`"
