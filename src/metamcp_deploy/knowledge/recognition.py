"""Recognises known failures in lines of a log: many lines at once, all patterns in one search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from metamcp_deploy.knowledge import loading
from metamcp_deploy.knowledge.entry import Entry
from metamcp_deploy.linesearch import PatternSet

FOLDERS = ("launcher", "app")  # of several failures that fit, one of the first folder counts
LONGEST = 4000  # characters of a line that are looked at; failures name themselves early


class Recogniser:
    """The failures that show in a line alone: by its text, and no status, code or step beside it."""

    def __init__(self, folders: Sequence[str] = FOLDERS) -> None:
        known = [entry for where in folders for entry in loading.folder(where)]
        # For each sign its entry and its patterns, all of which must fit.
        self._signs = [
            (entry, [text for text in (sign.log, sign.output) if text])
            for entry in known
            for sign in entry.shows
            if sign.model_fields_set <= {"log", "output"}
        ]
        self._patterns = PatternSet([text for _, texts in self._signs for text in texts])

    def entry(self, text: str) -> Entry | None:
        """The failure that one line shows; None for an ordinary line."""
        matching = set(self._patterns.matching(text[:LONGEST]))
        first = 0
        for entry, texts in self._signs:
            if matching.issuperset(range(first, first + len(texts))):
                return entry
            first += len(texts)
        return None

    def entries(self, lines: Sequence[str]) -> Iterator[tuple[int, Entry]]:
        """Numbers of the lines that show a failure, each with it."""
        short = [line if len(line) <= LONGEST else line[:LONGEST] for line in lines]
        for n in self._patterns.hits(short):
            if entry := self.entry(short[n]):
                yield n, entry


@cache
def recogniser() -> Recogniser:
    """The one of all lines of an app's log; the files are read once."""
    return Recogniser()
