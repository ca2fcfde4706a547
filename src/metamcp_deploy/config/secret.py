"""A value that must not be seen: it prints as stars everywhere except where `reveal` is written out."""

from __future__ import annotations


class Secret:
    """Wraps a secret text. `str`, `repr`, f-strings, logging and JSON encoders never show it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself. Every use of this name is a place to review."""
        return self._value

    def __str__(self) -> str:
        return "********"

    def __repr__(self) -> str:
        return "Secret('********')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __bool__(self) -> bool:
        return bool(self._value)
