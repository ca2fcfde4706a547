"""The redactor: what looks like a secret, and what this run knows to be one, as stars. One for the whole tool.

A block of lines is searched once, by one expression of RE2 that any secret must fit; only the lines that it names are
looked at closely. A mask keeps what says of which kind the secret is (`dapi********`, `password=********`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

from metamcp_deploy.linesearch import Pattern, blocks, escaped

MASK = "********"
SHORTEST = 4  # characters of a value that is known: shorter ones occur in ordinary words
_KEY_LINES = 200  # of a private key: after so many without an end it was none

# Names whose values are secret, with what may follow in a name; what follows must not say that it is about the secret.
_NAMES = (
    r"secret|token|passw(?:or)?d|passphrase|pwd|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key"
    r"|encryption[_-]?key|credential|authorization|cookie|signature|\bsig|_auth"
)
_ABOUT = re.compile(
    r"(?:[_.-]|(?<=[a-z])(?=[A-Z])|^)(?:ur[il]|endpoint|type|count|ids?|names?|length|len|size|exp\w*|at|ttl|age|path|"
    r"file|scope|env|in|valid\w*|limit|used|usage|version|policy|prefix|status|method|methods|header|headers|error)s?$",
    re.IGNORECASE,
)
_NAMED = re.compile(
    rf"({_NAMES})([\w.-]{{0,40}})(\\{{0,3}}[\"']?\]?\s{{0,3}}(?:=>|[=:])\s{{0,3}})", re.IGNORECASE
)
_PASSWORD = re.compile("passw|pwd|passphrase", re.IGNORECASE)
_SCHEME = re.compile(r"(?:bearer|basic|digest|token|negotiate|apikey)\s+", re.IGNORECASE)
_OPENING = re.compile(r"\\{0,3}[\"'`]")
_VALUE = re.compile(r"[^\s\"'`,;&|<>(){}\[\]\\]+")
_NOTHING = re.compile(
    r"(?:true|false|null|none|undefined|not|no|yes|missing|set|unset|empty|comes-with-the-credential|\d{1,9}(?:\.\d+)?|\*+|\$\w*|)$"
    r"|.*\*{4}$|\[",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*$|\.\.\.|…")
_PLAIN_WORD = re.compile(r"[A-Za-z]{1,24}[.!?:]?$")

# What a token looks like wherever it stands: its kind, and the rest of it.
_TOKENS = re.compile(
    r"(dapi|dose)[0-9a-f]{32}(?:-\d+)?|(sk_mt_)[\w-]{4,}|(gh[oprsu]_|github_pat_|npm_)\w{20,}|(glpat-)[\w-]{16,}"
    r"|(xox[abeoprs]-)[\w-]{10,}|(AKIA|ASIA)[0-9A-Z]{16}|(AIza)[\w-]{30,}|(?<![\w-])(sk-)[\w-]{20,}|(ya29\.)[\w-]{20,}"
)
_JWT = re.compile(r"eyJ[\w-]+(?:\.[\w-]*){0,4}")
_BEARER = re.compile(r"\b(bearer|basic)(\s+)([\w.~+/-]{8,}=*)", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^\s/?#@\"'<>]+@")
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = "-----END"
_KEY_BODY = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}|[A-Za-z0-9+/]{2,}={1,2}")
# A line of a private key whose beginning was not seen: nothing else on it but, perhaps, who printed it.
_ALONE = re.compile(r"^(?:\[\w+\]\s+)?([A-Za-z0-9+/]{64,76}={0,2})\s*$")

# All of the above, wider: what RE2 looks for in a whole block.
_ANY = (
    rf"(?:dapi|dose)[0-9a-f]{{8}}|sk_mt_|gh[oprsu]_\w{{8}}|github_pat_|npm_\w{{8}}|glpat-|xox[abeoprs]-|akia[0-9a-z]{{8}}"
    r"|asia[0-9a-z]{8}|aiza[\w-]{8}|sk-[\w-]{8}|ya29\.|eyj[\w-]{4,}\.|(?:bearer|basic)\s+[\w.~+/-]{8}"
    rf"|://[^\s/?#@\"'<>]+@|(?:{_NAMES})[\w.-]{{0,40}}[\\\"'\]\s]{{0,8}}[=:]|-----BEGIN |[a-z0-9+/]{{64}}"
)


# Escape sequences, control characters but tab and line break, and what reorders text (Unicode, UAX #9).
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    "|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_HALVES = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """A text as a reader sees it: without escape sequences, and with U+FFFD for what is no character."""
    if text.isprintable():
        return text
    return _HALVES.sub("\ufffd", _CONTROL.sub("", text))


class Redactor:
    """Masks texts and lines.

    Args:
        values: secrets that this run knows, masked wherever they stand: whole, URL-encoded, or as in JSON.

    Attributes:
        masked: how many secrets were masked so far.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.masked = 0
        self._values: list[str] = []
        self._prefilter: Pattern | None = None
        self._key_lines = 0  # of a private key, whose end is awaited
        self.know(values)

    def know(self, values: Iterable[str]) -> None:
        """Masks these from now on."""
        forms = {form for value in values for form in _forms(value)}
        # One may be part of another, of which nothing may stay.
        self._values = sorted(forms | set(self._values), key=len, reverse=True)
        self._prefilter = None

    def text(self, text: str) -> str:
        """A text of its own, of one line or several, masked."""
        if not self._filter().found(text):
            return text
        own = Redactor()
        own._values, own._prefilter = self._values, self._prefilter
        masked = "\n".join(own.lines(text.split("\n")))
        self.masked += own.masked
        return masked

    def value(self, value: Any, name: str = "") -> Any:
        """A value of JSON with all texts in it masked; the name of a field counts as before `=` in a text."""
        match value:
            case str():
                if not name:
                    return self.text(value)
                start = f"{name}="
                masked = self.text(start + value)
                return masked.removeprefix(start) if masked.startswith(start) else self.text(value)
            case Mapping():
                return {self.text(str(key)): self.value(one, str(key)) for key, one in value.items()}
            case list() | tuple():
                return [self.value(one, name) for one in value]
        return value

    def lines(self, lines: Sequence[str]) -> Sequence[str]:
        """The next lines of one stream, masked; a private key may go on over several lines and calls."""
        masked: list[str] | None = None
        first = 0
        for block in blocks(lines):
            for n in self._suspects(block):
                masked = masked or list(lines)
                masked[first + n] = self._line(block[n])
            first += len(block)
        return lines if masked is None else masked

    def _suspects(self, block: Sequence[str]) -> Sequence[int]:
        """Numbers of the lines that may hold a secret."""
        found = list(self._filter().hits(block))
        in_key = self._key_lines or any(_KEY_BEGINS.search(block[n]) for n in found)
        return range(len(block)) if in_key else found

    def _filter(self) -> Pattern:
        if self._prefilter is None:
            self._prefilter = _any_of(tuple(self._values))
        return self._prefilter

    def _line(self, line: str) -> str:
        for value in self._values:
            if value in line:
                self.masked += line.count(value)
                line = line.replace(value, MASK)
        line = self._keys(line)
        line = _IN_URL.sub(lambda _: self._counted("***@"), line)
        line = _JWT.sub(self._jwt, line)
        line = _TOKENS.sub(lambda m: self._counted(next(filter(None, m.groups())) + MASK), line)
        line = self._named(line)
        return _BEARER.sub(self._bearer, line)

    def _counted(self, mask: str) -> str:
        self.masked += 1
        return mask

    def _jwt(self, found: re.Match[str]) -> str:
        head, *parts = found[0].split(".")
        # Two parts that are long enough: the third may have been cut off with the line.
        if not parts or len(head) < 12 or len(parts[0]) < 4:
            return found[0]
        return self._counted(f"eyJ{MASK}")

    def _bearer(self, found: re.Match[str]) -> str:
        scheme, space, value = found.groups()
        if _NOTHING.match(value) or (
            value.isalpha() and (value.islower() or value.istitle()) and len(value) < 24
        ):
            return found[0]
        return self._counted(f"{scheme}{space}{MASK}")

    def _named(self, line: str) -> str:
        """With the values of names such as `client_secret` masked."""
        parts, at = [], 0
        while found := _NAMED.search(line, at):
            start, end = _value_of(line, found)
            parts.append(line[at:start])
            value = line[start:end]
            secret = (
                value and not _ABOUT.search(found[2]) and _is_secret(found, value, line[start - 1 : start])
            )
            parts.append(self._counted(MASK) if secret else value)
            at = max(end, found.end())
            if end < found.end():
                parts.append(line[end:at])
        return "".join((*parts, line[at:])) if parts else line

    def _keys(self, line: str) -> str:
        """With what is of a private key masked, which may have begun on an earlier line."""
        if begins := _KEY_BEGINS.search(line):
            end = line.find(_KEY_ENDS, begins.end())
            self._key_lines = 0 if end >= 0 else _KEY_LINES
            rest = self._keys(line[end:]) if end >= 0 else ""
            return f"{line[: begins.end()]}{self._counted(MASK)}{rest}"
        if not self._key_lines:
            alone = _ALONE.match(line)
            if alone and not re.fullmatch("[0-9a-fA-F]+", alone[1]):
                return line[: alone.start(1)] + self._counted(MASK)
            return line
        self._key_lines -= 1
        end = line.find(_KEY_ENDS)
        if end >= 0:
            self._key_lines = 0
        return _KEY_BODY.sub(MASK, line[: end if end >= 0 else None]) + (line[end:] if end >= 0 else "")


def _is_secret(found: re.Match[str], value: str, before: str) -> bool:
    """Whether the value of a secret's name is one, and no word about it (`token: expired`)."""
    if _NOTHING.match(value) or _PLACEHOLDER.match(value):
        return False
    said_in_prose = found[3].endswith((" ", "\t")) and ":" in found[3] and before not in ("'", '"')
    if not said_in_prose or _PASSWORD.match(found[1]):
        return True
    return not _PLAIN_WORD.match(value)


def _value_of(line: str, found: re.Match[str]) -> tuple[int, int]:
    """Where the value of a name begins and ends: to the closing quote, or to the end of the word."""
    start = found.end()
    opening = _OPENING.match(line, start)
    if opening:
        start = opening.end()
        end = line.find(opening[0], start)
        end = len(line) if end < 0 else end
    if found[1].lower() == "cookie":
        return start, end if opening else len(line)
    if scheme := _SCHEME.match(line, start):
        start = scheme.end()
    if opening:
        return min(start, end), end
    word = _VALUE.match(line, start)
    return start, word.end() if word else start


def _forms(value: str) -> set[str]:
    """How a value may stand in a text; each of its lines for itself."""
    parts = [part for part in (value, *map(str.strip, value.splitlines())) if len(part) >= SHORTEST]
    safe = [part.encode("utf-8", "replace").decode() for part in parts]
    return {*parts, *(quote(p, safe="") for p in safe), *_in_json(parts)}


def _in_json(parts: Iterable[str]) -> Iterable[str]:
    return (json.dumps(part, ensure_ascii=pure)[1:-1] for part in parts for pure in (True, False))


@cache
def _any_of(values: tuple[str, ...]) -> Pattern:
    return Pattern("|".join((*map(escaped, values), _ANY)), ignore_case=True)
