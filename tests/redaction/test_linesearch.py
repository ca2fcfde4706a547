"""Lines are searched in blocks, with the same result as one by one."""

from __future__ import annotations

import re

import pytest

from metamcp_deploy.linesearch import BLOCK, Pattern, PatternError

LINES = ["one", "", "two\nlines", "éa \ud800 one", "x" * BLOCK, "one" + "y" * BLOCK, "on", "e", "ends: one"]


@pytest.mark.parametrize(
    "text", ["one", "^one", "one$", r"n\s+e", "^$", "é", ".*", "[^z]", "nothing at all", "^two$"]
)
def test_as_one_by_one(text: str) -> None:
    expected = [n for n, line in enumerate(LINES) if re.search(text, line, re.MULTILINE)]
    assert list(Pattern(text).hits(LINES)) == expected
    assert list(Pattern(text.upper(), ignore_case=True).hits(LINES)) == expected or "\\" in text
    assert [n for n, line in enumerate(LINES) if Pattern(text).found(line)] == expected


def test_no_lines() -> None:
    assert list(Pattern("x").hits([])) == []


@pytest.mark.parametrize("text", ["(", "(?=x)", r"(a)\1", "[a"])
def test_what_it_cannot_say(text: str) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern(text)
    assert str(caught.value)
