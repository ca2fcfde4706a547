"""Edits of one file: computed on its original text, without overlaps, applied at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from metamcp_deploy.errors import Code, DeployError


@dataclass(frozen=True, order=True)
class Edit:
    """Replaces `start:end` (characters of the original text) by `text`; `by` names the patch and its edit."""

    start: int
    end: int
    text: str
    by: str


def spliced(path: str, original: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made.

    Raises:
        DeployError: PATCH_INVALID, when two edits overlap or insert at the same place: their order would decide.
    """
    ordered = sorted(edits)
    pieces: list[str] = []
    at = 0
    for before, edit in zip([None, *ordered], ordered, strict=False):
        if before and (edit.start < before.end or (edit.start, edit.end) == (before.start, before.end)):
            raise DeployError(
                Code.PATCH_INVALID,
                f"{path}:{line_of(original, edit.start)}: {before.by} and {edit.by} change the same text.",
                hint="Make one of them match less, or put both changes into one patch.",
            )
        pieces += [original[at : edit.start], edit.text]
        at = edit.end
    return "".join([*pieces, original[at:]])


def line_of(text: str, index: int) -> int:
    """The line, from 1, that holds the character at `index`."""
    return text.count("\n", 0, index) + 1
