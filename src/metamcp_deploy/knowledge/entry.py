"""What is known of one failure. The package's docstring lists the keys of a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.knowledge.place import DEFAULT, NOTHING, Place

_TEMPLATES = ("do", "run", "ask")
_FLAGS = re.IGNORECASE | re.MULTILINE  # the launcher's are the same


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as e:
        raise ValueError(f"no regular expression: {e}") from e
    return text


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Pattern = Annotated[str, AfterValidator(_regex)]
Words = Annotated[tuple[Text, ...], BeforeValidator(_several)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_several)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(_Model):
    """What is seen of one failure. A file's samples are such evidence."""

    log: str = ""
    body: str = ""
    output: str = ""
    http: int | None = None
    exit_code: int | None = None
    sqlstate: str | None = None
    error_code: str | None = None
    code: str | None = None
    step: str | None = None
    state: str | None = None


class Sign(_Model):
    """One way a failure shows; every condition that is given must fit. Patterns ignore case."""

    log: Pattern | None = None
    body: Pattern | None = None
    output: Pattern | None = None
    http: Numbers = ()
    exit_code: Numbers = ()
    sqlstate: Words = ()
    error_code: Words = ()
    code: Words = ()
    step: Words = ()
    state: Words = ()

    @model_validator(mode="after")
    def _says_something(self) -> Sign:
        if not self.model_fields_set:
            raise ValueError("a sign needs at least one condition")
        return self

    @property
    def weak(self) -> bool:
        """Whether it is an HTTP status alone: an API's own error code says more."""
        return self.model_fields_set == {"http"}

    def fits(self, seen: Evidence) -> bool:
        """Whether the evidence shows this sign."""
        for name in self.model_fields_set:
            wanted, actual = getattr(self, name), getattr(seen, name)
            if isinstance(wanted, str):
                if not re.search(wanted, actual, _FLAGS):
                    return False
            elif actual not in wanted:
                return False
        return True


class Step(_Model):
    """One step of a fix: a sentence, a command to paste, a person to ask.

    `safe` commands only read, and need nobody's consent. A `repair` is what `doctor --fix` runs after asking: it ends
    the failure, and drops, revokes and overwrites nothing.
    """

    do: Text | None = None
    run: Text | None = None
    ask: Text | None = None
    safe: bool = False
    repair: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Step:
        if not (self.do or self.run):
            raise ValueError("a step needs `do` or `run`")
        if self.repair and (self.safe or not self.run):
            raise ValueError("a repair is a command, and more than reading")
        return self


class Need(_Model):
    """What `preflight` looks for: the step of a deployment, what it needs, how that is detected."""

    step: Text
    needs: Text
    detected: Text


class Provoke(_Model):
    """How the embedded workspace brings the failure about: a fault of `local faults list`, or what to do."""

    fault: Text | None = None
    act: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Provoke:
        if (self.fault is None) == (self.act is None):
            raise ValueError("give exactly one of fault and act")
        return self


class Entry(_Model):
    """One known failure; `where` is its folder, `id` its file's name."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    where: str
    title: Text
    rank: int = 50
    level: Literal["error", "warning", "note"] = "error"
    error: Code | None = None
    message: Text | None = None
    shows: tuple[Sign, ...] = Field(min_length=1)
    cause: Text
    fix: tuple[Step, ...] = Field(min_length=1)
    by_itself: Text | None = None
    need: Need | None = None
    sources: tuple[Text, ...] = Field(min_length=1)
    samples: tuple[Evidence, ...] = Field(min_length=1)
    provoke: Provoke | None = None

    def order(self, seen: Evidence) -> tuple[int, bool] | None:
        """How early it comes among those that fit: lower is earlier; None when no sign fits."""
        weak = [sign.weak for sign in self.shows if sign.fits(seen)]
        return (self.rank, all(weak)) if weak else None

    def steps(self, values: Mapping[str, object] = NOTHING, place: Place = DEFAULT) -> Iterator[Step]:
        """The fix with its templates filled; a value that is not given stands there as its name in capitals."""
        known = place.values(values)
        for step in self.fix:
            texts = {name: _fill(text, known) for name in _TEMPLATES if (text := getattr(step, name))}
            yield step.model_copy(update=texts)

    def hint(self, values: Mapping[str, object] = NOTHING, place: Place = DEFAULT) -> str:
        """The fix in one line; its commands end a sentence without a full stop, so that they can be pasted."""
        line, ends_with_command = "", False
        for step in self.steps(values, place):
            do = step.do.rstrip(".:") if step.do and step.run else step.do
            says = ": ".join(filter(None, (do, step.run)))
            if ends_with_command:
                says = ("; " if says.startswith("If ") else "; then ") + says[:1].lower() + says[1:]
            line += says if ends_with_command or not line else f" {says}"
            ends_with_command = step.run is not None
        return line

    def error_of(
        self, detail: str | None, values: Mapping[str, object], place: Place = DEFAULT
    ) -> DeployError:
        """The expected failure that this is, for a file with `error` and `message`."""
        assert self.error, self.id  # noqa: S101
        message = _fill(self.message or self.title, place.values(values))
        hint = self.hint(values, place)
        return DeployError(self.error, message, hint=hint, detail=detail, known=self.id)


def _fill(template: str, values: Mapping[str, object]) -> str:
    # Options may be empty; they bring the space before them.
    return template.replace(" {on_", "{on_").format_map(values)
