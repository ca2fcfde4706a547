"""Options that mean the same everywhere, and what a command gets instead of them: a `Run`.

`@common` adds `-t -p -o -C --set --debug --no-color --log-format` to a command's own parameters; the command's first
parameter is the `Run`, which loads the target's settings when first asked. A parameter whose type is a dataclass is a
group: each of its fields is an option. The fields of a stage's `Wishes` declare theirs with `pipeline.Flag`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from metamcp_deploy.pipeline import Flag

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project
    from metamcp_deploy.console import Console
    from metamcp_deploy.errors import DeployError


class Format(StrEnum):
    """Forms of output."""

    text = "text"
    json = "json"


def complete_target(ctx: typer.Context, incomplete: str) -> list[str]:
    """Target names of the configuration in `-C` (or here), for shell completion."""
    from metamcp_deploy.config import target_names

    folder = ctx.params.get("directory") or Path.cwd()
    return [name for name in target_names(Path(folder)) if name.startswith(incomplete)]


Target = Annotated[
    str | None,
    typer.Option("-t", "--target", help="Target in metamcp.yaml.", autocompletion=complete_target),
]
Profile = Annotated[str | None, typer.Option("-p", "--profile", help="Profile in ~/.databrickscfg.")]
Output = Annotated[Format, typer.Option("-o", "--output", help="Form of the result on stdout.")]
Directory = Annotated[
    Path | None, typer.Option("-C", "--directory", help="Working folder.", file_okay=False, exists=True)
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one dotted key.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show requests, commands and tracebacks.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours.")]
LogFormat = Annotated[Format, typer.Option("--log-format", help="Form of the progress on stderr.")]

AppOption = Annotated[
    str | None, typer.Option("--app", help="The app, where there is no metamcp.yaml (with -p).")
]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would be done and why; change nothing.")]
Url = Annotated[str | None, typer.Option("--url", help="Upstream: https, ssh or file URL, or a path.")]
Ref = Annotated[str | None, typer.Option("--ref", help="Upstream tag, branch or full commit.")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Use and leave nothing in the user's cache folder.")
]
Wait = Annotated[
    float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for a healthy answer.")
]
AutoApprove = Annotated[bool, typer.Option("--auto-approve", help="Do not ask before deleting.")]


# How the environment's variables are called that hold secrets, whoever reads them.
_SECRET_NAMES = ("SECRET", "TOKEN", "PASSWORD")


@dataclass
class Run:
    """One invocation: the common options, the console, and the target's settings."""

    target: str | None = None
    profile: str | None = None
    output: Format = Format.text
    directory: Path | None = None
    sets: list[str] = field(default_factory=list)
    debug: bool = False
    no_color: bool = False
    log_format: Format = Format.text
    app: str | None = None
    flags: dict[str, str] = field(default_factory=dict)
    use_cache: bool = True
    takes_app: bool = False  # whether the command has --app
    streams: bool = False  # `logs`: one object a line instead of one document

    @functools.cached_property
    def console(self) -> Console:
        """The console in the forms that were asked for."""
        from metamcp_deploy.cli import hints
        from metamcp_deploy.console import Console

        console = Console(self.output.value, self.log_format.value, not self.no_color)
        console.completed = lambda hint: hints.completed(
            hint, hints.Typed(self.target, self.profile, self.app, self.directory)
        )
        console.hide(v for k, v in os.environ.items() if k.upper().endswith(_SECRET_NAMES) and len(v) >= 8)
        return console

    @property
    def here(self) -> Path:
        """The folder of `-C`, or the current one; absolute."""
        return (self.directory or Path.cwd()).absolute()

    @functools.cached_property
    def folder(self) -> Path:
        """The working folder, absolute: that of `-C`, or the project's that the current one is in."""
        from metamcp_deploy import events
        from metamcp_deploy.config.project import nearest

        found = self.here if self.directory else nearest(self.here)
        if found != self.here:
            events.emit(events.Note(f"The project is {found}."))
        return found

    @functools.cached_property
    def project(self) -> Project:
        """The working folder with the target's settings."""
        from metamcp_deploy.config import load

        project = load(
            self.folder,
            target=self.target,
            flags=self.flags,
            sets=self.sets,
            app=self.app,
            profile=self.profile,
            use_cache=self.use_cache,
        )
        self.console.hide(secret.reveal() for secret in project.secrets.values())
        return project

    def shown(self, error: DeployError) -> dict[str, str | None]:
        """An error as `-o json` shows it."""
        return {**error.as_dict(), "hint": self.console.completed(error.hint)}

    def cleaned(self, text: str) -> str:
        """A text that other programs or libraries made, without what is secret."""
        return self.console.clean(text)

    def with_flags(self, use_cache: bool = True, **dotted: str | None) -> Run:
        """Adds what other options say (`upstream__url` is `upstream.url`; None says nothing)."""
        self.flags |= {k.replace("__", "."): v for k, v in dotted.items() if v is not None}
        self.use_cache = use_cache
        return self


# What the error boundary needs when a command failed: how to show it.
current = Run()

_COMMON: dict[str, tuple[Any, Any]] = {
    "target": (Target, None),
    "profile": (Profile, None),
    "output": (Output, Format.text),
    "directory": (Directory, None),
    "sets": (Set, None),
    "debug": (Debug, False),
    "no_color": (NoColor, False),
    "log_format": (LogFormat, Format.text),
}


@dataclass(frozen=True)
class Only:
    """In the annotation of a group: the fields of it that the command has an option for."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class _Group:
    """A parameter of a command that is made of several options."""

    made: Callable[..., Any]
    options: tuple[inspect.Parameter, ...]
    denied: frozenset[str]  # fields whose flag says no

    @classmethod
    def of(cls, annotation: Any) -> _Group | None:
        """The group that an annotation stands for; None for an option."""
        made, *more = get_args(annotation) or (annotation,)
        if not dataclasses.is_dataclass(made):
            return None
        hints = get_type_hints(made, include_extras=True)
        only = next((entry.names for entry in more if isinstance(entry, Only)), tuple(hints))
        fields = [field for field in dataclasses.fields(made) if field.name in only]
        options = tuple(_option(field.name, hints[field.name], field.default) for field in fields)
        denied = frozenset(field.name for field in fields if field.default is True)
        return cls(made, options, denied)  # type: ignore[arg-type]

    def collected(self, given: dict[str, Any]) -> Any:
        """The parameter's value, of the options' values; several groups may share an option."""
        values = {option.name: given[option.name] for option in self.options}
        return self.made(**{k: not v if k in self.denied else v for k, v in values.items()})


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind, *more = get_args(annotation)
    if flag := next((entry for entry in more if isinstance(entry, Flag)), None):
        option = typer.Option(*flag.names, help=flag.help, metavar=flag.metavar)
        annotation, default = Annotated[kind, option], False if default is True else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def common(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the common options to a command; its first parameter receives the Run."""
    signature = inspect.signature(command, eval_str=True)
    stated = list(signature.parameters.values())[1:]
    groups = {p.name: group for p in stated if (group := _Group.of(p.annotation))}
    own: dict[str, inspect.Parameter] = {}
    for p in stated:
        group = groups.get(p.name)
        options = group.options if group else (_option(p.name, p.annotation, p.default),)
        own |= {option.name: option for option in options}
    shared = {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in _COMMON.items()
        if name not in own
    }

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        global current
        of_run = {name: given.pop(name) for name in shared}
        of_run["sets"] = list(of_run["sets"] or [])
        current = Run(**of_run, takes_app="app" in own)
        if current.debug:
            show_debug(current)
        values = {
            p.name: groups[p.name].collected(given) if p.name in groups else given[p.name] for p in stated
        }
        command(current, **values)

    parameters = [*own.values(), *shared.values()]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def show_debug(run: Run) -> None:
    """Python's log records (commands, requests) on stderr, without what is secret."""

    class Cleaned(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return run.cleaned(super().format(record))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Cleaned("debug %(name)s: %(message)s"))
    for name in ("metamcp_deploy", "databricks.sdk"):
        logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger(name).addHandler(handler)
