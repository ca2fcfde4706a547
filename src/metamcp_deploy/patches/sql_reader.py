"""Parses the elements of SQL statements (names, types, expressions) and collects the edits that qualify them."""

from __future__ import annotations

from metamcp_deploy.patches.sql_tokens import Token
from metamcp_deploy.patches.text_edits import Edit

# pg_catalog is searched whatever search_path says: these types need no qualifier.
_BUILT_IN_TYPES = """
bigint bigserial bit boolean bool bytea char character cidr date decimal double float float4 float8 inet int int2 int4
int8 integer interval json jsonb jsonpath macaddr money name numeric oid point real serial serial4 serial8 smallint
smallserial text time timestamp timestamptz timetz tsquery tsvector uuid varchar xml
"""
_BUILT_IN = frozenset(_BUILT_IN_TYPES.split())
# These take a name as text and look it up in search_path, or read other tables: no qualifier can be put there safely.
_OUT_OF_REACH = (
    "SELECT",
    "TABLE",
    "NEXTVAL",
    "CURRVAL",
    "SETVAL",
    "TO_REGCLASS",
    "TO_REGTYPE",
    "PG_GET_SERIAL_SEQUENCE",
)


class NotUnderstoodError(ValueError):
    """A form this grammar does not know; `at` is the character where it gave up (None: at the end)."""

    def __init__(self, problem: str, at: int | None) -> None:
        super().__init__(problem)
        self.at = at


class Reader:
    """A place in one statement, and the edits so far.

    Args:
        words: the statement's tokens, without the semicolon.
        schema: what names are qualified with.
        types: names of all types the migrations create.
        by: who makes the edits, for messages.
    """

    def __init__(self, words: list[Token], schema: str, types: frozenset[str], by: str) -> None:
        self._words = words
        self._schema = schema
        self._qualifier = '"' + schema.replace('"', '""') + '"'
        self._types = types
        self._by = by
        self._at = 0
        self._edits: list[Edit] = []

    def _name(self) -> None:
        """A table, type or index: qualified with the schema, whatever it was before."""
        first = self._identifier()
        if not self._take("."):
            self._edits.append(Edit(first.start, first.start, self._qualifier + ".", self._by))
        else:
            self._requalify(first)
            self._identifier()
        if self._at < len(self._words) and self._peek().text == ".":
            self._fail()

    def _requalify(self, qualifier: Token) -> None:
        if qualifier.name == self._schema:
            return
        if qualifier.name != "public":
            raise NotUnderstoodError(f"names another schema, {qualifier.text}", qualifier.start)
        self._edits.append(Edit(qualifier.start, qualifier.end, self._qualifier, self._by))

    def _type(self) -> None:
        first = self._peek()
        name = first.name
        qualified = self._at + 1 < len(self._words) and self._words[self._at + 1].text == "."
        if qualified and name == "pg_catalog":
            self._at += 3
        elif qualified or name in self._types:
            self._name()
        elif first.kind == "word" and name in _BUILT_IN:
            self._at += 1
            self._take("PRECISION")
            self._take("VARYING")
        else:
            raise NotUnderstoodError(f"uses the type {first.text}, which no migration creates", first.start)
        if self._at < len(self._words) and self._peek().text == "(":
            self._parenthesis()
        if self._take("WITH TIME ZONE") or self._take("WITHOUT TIME ZONE"):
            pass
        while self._take("["):
            if self._peek().kind == "number":
                self._at += 1
            self._need("]")

    def _expression(self, *ends: str, forbidden: str = "") -> None:
        """Clauses and expressions up to one of `ends`, outside of parentheses, or the end of the statement."""
        while self._at < len(self._words) and self._peek().text not in ends:
            token = self._peek()
            following = self._words[self._at + 1] if self._at + 1 < len(self._words) else None
            if token.text == "(":
                self._parenthesis()
            elif token.text == ")" or token.keyword in _OUT_OF_REACH or (forbidden and self._is(forbidden)):
                self._fail()
            elif token.keyword in ("REFERENCES", "::"):
                self._at += 1
                (self._name if token.keyword == "REFERENCES" else self._type)()
            elif token.keyword == "CAST" and following and following.text == "(":
                self._at += 2
                self._expression("AS", "as")
                self._need("AS")
                self._type()
                self._need(")")
            elif token.name in self._types and following and following.kind == "string":
                self._name()
            elif token.name and following and following.text == ".":
                self._reference(token)
            else:
                self._at += 1

    def _is(self, keyword: str) -> bool:
        before = self._words[self._at - 1].keyword if self._at else ""
        return self._peek().keyword == keyword and before != "DISTINCT"

    def _reference(self, first: Token) -> None:
        """`table.column`, `schema.table.column` or a qualified function."""
        parts = [first]
        while len(self._words) > self._at + 2 and self._words[self._at + 1].text == ".":
            self._at += 2
            parts.append(self._peek())
        self._at += 1
        called = self._at < len(self._words) and self._peek().text == "("
        if called and first.name != "pg_catalog":
            raise NotUnderstoodError(
                f"calls {first.text}.{parts[-1].text}, which no migration creates", first.start
            )
        if first.name == "public" or len(parts) > 2:
            self._requalify(first)

    def _parenthesis(self) -> None:
        self._need("(")
        self._expression(")")
        while self._take(","):
            self._expression(")")
        self._need(")")

    # -- tokens

    def _peek(self) -> Token:
        if self._at >= len(self._words):
            raise NotUnderstoodError("ends too early", None)
        return self._words[self._at]

    def _take(self, keywords: str) -> bool:
        wanted = keywords.split(" ")
        if [w.keyword for w in self._words[self._at : self._at + len(wanted)]] != wanted:
            return False
        self._at += len(wanted)
        return True

    def _need(self, keywords: str) -> None:
        if not self._take(keywords):
            self._fail(f"{keywords} is expected")

    def _identifier(self) -> Token:
        token = self._peek()
        if token.name is None:
            self._fail("a name is expected")
        self._at += 1
        return token

    def _fail(self, expected: str = "") -> None:
        found = self._peek()
        where = f" at `{found.text}`" + (f" ({expected})" if expected else "")
        raise NotUnderstoodError(f"is not understood{where}", found.start)
