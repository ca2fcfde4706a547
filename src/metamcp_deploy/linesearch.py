"""Searches lines by RE2: many at once, in time that grows with their length alone, whatever the expression.

One search over a block of lines costs as much as one over a line; only where it hits, lines are looked at one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

BLOCK = 256 * 1024  # characters that are searched at once


class PatternError(ValueError):
    """RE2 does not take an expression; the text says why."""


class Pattern:
    """An expression in RE2's syntax.

    Args:
        text: the expression; `^` and `$` stand for the ends of a line.
        ignore_case: whether letters fit in both cases.

    Raises:
        PatternError: RE2 cannot say it.
    """

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        import re2  # not needed by most commands

        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        options.case_sensitive = not ignore_case
        try:
            # Each hit takes the rest of its line with it: one for a line, however often it holds the text.
            self._re: Any = re2.compile(encoded(f"(?m:{text})[^\\n]*"), options)
        except re2.error as e:
            why = e.args[0] if e.args else "no regular expression"
            raise PatternError(why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from e

    def found(self, text: str) -> bool:
        """Whether a text holds it."""
        return self._re.search(encoded(text)) is not None

    def hits(self, lines: Sequence[str]) -> Iterator[int]:
        """Numbers of the lines that hold it, in order."""
        first = 0
        for block in blocks(lines):
            for n in self._hits(block):
                yield first + n
            first += len(block)

    def _hits(self, lines: Sequence[str]) -> Iterator[int]:
        block = "\n".join(lines)
        data = encoded(block)
        if self._re.search(data) is None:
            return
        plain = len(data) == len(block)
        starts = [0, *accumulate((len(line) if plain else len(encoded(line))) + 1 for line in lines)]
        last = -1
        begin: int | None = 0
        while begin is not None and begin <= len(data):
            again = None
            for hit in self._re.finditer(data, begin):
                at, end = hit.span()
                n = bisect_right(starts, at, max(last, 0)) - 1
                if n == last:
                    continue
                if n >= len(lines):
                    return
                last = n
                if end < starts[n + 1]:
                    yield n
                    continue
                # A hit over the end of a line is none; behind it the same line, and the next, may hold a real one.
                if self.found(lines[n]):
                    yield n
                again = starts[n + 1]
                break
            begin = again


def blocks(lines: Sequence[str]) -> Iterator[Sequence[str]]:
    """The lines in blocks of about `BLOCK` characters."""
    begin = size = 0
    for n, line in enumerate(lines):
        size += len(line)
        if size >= BLOCK:
            yield lines[begin : n + 1]
            begin, size = n + 1, 0
    if begin < len(lines):
        yield lines[begin:] if begin else lines


def encoded(text: str) -> bytes:
    """UTF-8; what is no character becomes a question mark."""
    return text.encode("utf-8", "replace")


def escaped(text: str) -> str:
    """An expression that fits this text alone."""
    import re2

    return str(re2.escape(text))


class PatternSet:
    """Several expressions, searched at once; letters fit in both cases."""

    def __init__(self, texts: Sequence[str]) -> None:
        import re2

        options = re2.Options()
        options.log_errors = False
        options.case_sensitive = False
        self._set: Any = re2.Set.SearchSet(options)
        for text in texts:
            self._set.Add(encoded(f"(?m:{text})"))
        self._set.Compile()
        self._any = Pattern("|".join(f"(?:{text})" for text in texts), ignore_case=True)

    def matching(self, text: str) -> list[int]:
        """Numbers of the expressions that a text holds."""
        return sorted(self._set.Match(encoded(text)) or ())

    def hits(self, lines: Sequence[str]) -> Iterator[int]:
        """Numbers of the lines that hold any of them, in order."""
        return self._any.hits(lines)
