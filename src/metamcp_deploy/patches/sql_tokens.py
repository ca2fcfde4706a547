"""Tokens of PostgreSQL, with their positions.

No SQL library: a migration is edited by position and must be parsed exactly. Drizzle's `--> statement-breakpoint` is a
comment for other tokenizers and ends a statement here; nested comments, dollar quotes and E'' strings follow PostgreSQL
16, "4.1. Lexical Structure".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

BREAKPOINT = "--> statement-breakpoint"
Kind = Literal["word", "quoted", "string", "number", "symbol", "breakpoint", "comment"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<breakpoint>-->[ ]statement-breakpoint)
  | (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | (?P<string>
        [eE]'(?:[^'\\]|''|\\.)*'
      | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'
      | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ )
  | (?P<quoted>"(?:[^"]|"")+")
  | (?P<word>[^\W\d][\w$]*)
  | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)
  | (?P<symbol>::|[()\[\],;.]|(?:(?!--|/\*)[-+*/<>=~!@\#%^&|`?:])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `start` and `end` are character positions in the file."""

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """A word or symbol in capitals, for comparing with keywords; nothing for quoted names and literals."""
        return self.text.upper() if self.kind in ("word", "symbol") else ""

    @property
    def name(self) -> str | None:
        """The identifier as PostgreSQL stores it: unquoted ones in lower case. None for what is no identifier."""
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"')
        return self.text.lower() if self.kind == "word" else None


class LexicalError(ValueError):
    """Text that no token begins with (`at`): an unclosed string, comment or quoted name."""

    def __init__(self, at: int) -> None:
        super().__init__(f"unreadable at character {at}")
        self.at = at


def tokens(sql: str) -> list[Token]:
    """All tokens, line comments and drizzle's breakpoints among them; block comments and space are left out.

    Raises:
        LexicalError: where the text cannot be read, or drizzle would split it inside a token.
    """
    found: list[Token] = []
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None or match.lastgroup is None:
            raise LexicalError(at)
        # lastgroup is the outermost alternative: the inner `tag` closes before it
        kind = "string" if match.lastgroup == "tag" else match.lastgroup
        end = _block_end(sql, at) if kind == "block" else match.end()
        if kind != "breakpoint" and BREAKPOINT in sql[at:end]:
            raise LexicalError(at)
        if kind not in ("space", "block"):
            found.append(Token(kind, sql[at:end], at, end))  # type: ignore[arg-type]
        at = end
    return found


def _block_end(sql: str, start: int) -> int:
    depth = 0
    for edge in _BLOCK_EDGE.finditer(sql, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise LexicalError(start)
