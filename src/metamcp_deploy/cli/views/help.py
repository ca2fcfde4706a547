"""`--help` as people read it: no type on a switch, no range, no brackets within brackets, whole names of options."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

F = TypeVar("F", bound=Callable[..., Any])
_NUMBERS = (int, float)


class _Plain:
    """What both kinds of commands show differently; what they parse stays the same."""

    _showing = False

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; while help is shown, copies that look as they should."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        return [_shown(param) for param in params] if self._showing else params

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the help."""
        self._showing = True
        try:
            super().format_help(ctx, formatter)  # type: ignore[misc]
        finally:
            self._showing = False

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line."""
        pieces: list[str] = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [
            piece.replace("[[", "[").replace("]]", "]").replace("{", "").replace("}", "") for piece in pieces
        ]


class PlainCommand(_Plain, TyperCommand):
    """A command."""


class PlainGroup(_Plain, TyperGroup):
    """A command with others below it."""


class App(typer.Typer):
    """A Typer whose commands show their help so."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**({"cls": PlainGroup} | given))

    def command(self, name: str | None = None, **given: Any) -> Callable[[F], F]:
        """Registers a command, as typer does."""
        return super().command(name, **({"cls": PlainCommand} | given))


def _shown(param: Any) -> Any:
    """A parameter as it is shown: an option's two names below each other, for a narrow terminal has no room beside."""
    shown = copy.copy(param)
    shown._get_number_range_help_str = lambda: None
    kind = param.type_descriptor.annotation
    if param.param_type_name == "argument":
        if not param.type_descriptor.is_choice:
            shown.display_type_rich = lambda ctx: None
        return shown
    if kind is bool:
        shown.metavar = ""
    elif kind in _NUMBERS and param.metavar is None:
        shown.metavar = "NUMBER"
    if param.secondary_opts:
        shown.opts, shown.secondary_opts = ["\n".join([*param.opts, *param.secondary_opts])], []
    return shown
