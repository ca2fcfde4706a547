"""The expression of `--grep`: in RE2's syntax, and the part of it that the server can search for."""

from __future__ import annotations

import re

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.linesearch import Pattern, PatternError

_LONGEST = 1000  # characters of an expression
_SYNTAX = "https://github.com/google/re2/wiki/Syntax"
_CANNOT = (
    (
        r"\(\?<?[=!]",
        "no look-around: search for the whole text, and leave out lines with another grep behind it",
    ),
    (r"\\[1-9]|\(\?P=", "no references to groups"),
    (r"\(\?>|[*+?}]\+", "no atomic groups: it needs none, its time grows with the text alone"),
    (r"\(\?\(", "no conditions"),
)
_PLAIN = re.compile(r"[A-Za-z0-9_ -]{3,}")
_TAKES_BACK = frozenset("*?{")


def compiled(text: str) -> Pattern:
    """As a pattern.

    Raises:
        DeployError: USAGE, with what to do for what RE2 cannot say.
    """
    if len(text) > _LONGEST:
        raise _refused(
            text, f"it has {len(text)} characters, of {_LONGEST} at most", "Search for less at once."
        )
    try:
        return Pattern(text)
    except PatternError as e:
        why = next((hint for sign, hint in _CANNOT if re.search(sign, text)), "")
        hint = f"RE2 has {why}." if why else "For a plain text put \\Q before it."
        hint += f" Its syntax: {_SYNTAX}"
        raise _refused(text, str(e), hint) from e


def _refused(text: str, why: str, hint: str) -> DeployError:
    return DeployError(Code.USAGE, f"--grep: `{text[:80]}` is no expression of RE2: {why}.", hint=hint)


def literal(text: str) -> str:
    """The longest plain text that each line with the expression holds; empty where there is none for sure.

    The server searches for a text: whether it would read other characters as an expression is not documented.
    """
    if "|" in text or "(?" in text or "\\Q" in text:
        return ""
    runs, run, at, depth = [], "", 0, 0
    while at < len(text):
        char, after = text[at], text[at + 1 : at + 2]
        step = 1
        if char == "[":
            step = max(1, _class_end(text, at) - at)
        elif char == "{":
            step = max(1, text.find("}", at) + 1 - at)
        elif char == "\\":  # a code of a character may be of several digits
            step = 2 if after not in "pPx" and not after.isdigit() else len(text)
        depth += (char == "(") - (char == ")")
        if depth == 0 and re.fullmatch("[A-Za-z0-9_ -]", char) and after not in _TAKES_BACK:
            run += char
        else:
            runs.append(run)
            run = ""
        at += step
        if after == "+":  # at least one, but perhaps several
            runs.append(run)
            run = ""
    plain = [found for run in (*runs, run) for found in _PLAIN.findall(run)]
    return max(plain, key=len, default="").strip()


def _class_end(text: str, at: int) -> int:
    """Behind the bracket that ends a class."""
    n = at + 1
    if text[n : n + 1] == "^":
        n += 1
    if text[n : n + 1] == "]":
        n += 1
    while n < len(text) and text[n] != "]":
        n += 2 if text[n] == "\\" else 1
    return n + 1
