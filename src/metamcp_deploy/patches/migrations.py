"""Qualifies every name in a migration, so that it needs no search_path and creates nothing in `public`.

The grammar in `sql_statements` parses each statement; an unknown statement is an error. Edits only add a qualifier
before a name, so the rest of each file is unchanged byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.patches.sql_reader import NotUnderstoodError
from metamcp_deploy.patches.sql_statements import Statement, created_types
from metamcp_deploy.patches.sql_tokens import LexicalError, Token, tokens
from metamcp_deploy.patches.text_edits import Edit, line_of

QUALIFIED_BY_HAND = "-- metamcp-deploy: qualified"


def qualifications(files: Mapping[str, str], schema: str, by: str) -> dict[str, list[Edit]]:
    """What to insert or replace so that every statement of all migrations names `schema`.

    Args:
        files: path → text of every migration; types created in one are known in the others.
        schema: the schema's name, unquoted.
        by: names the patch in errors.

    Returns:
        path → edits; an empty list for a file that is qualified already.

    Raises:
        DeployError: PATCH_INCOMPLETE, naming file, line and statement, for what cannot be understood.
    """
    statements = {path: list(_statements(path, text)) for path, text in files.items()}
    types = frozenset(
        name for parts in statements.values() for statement in parts for name in created_types(statement)
    )
    return {
        path: [
            edit
            for words in parts
            for edit in _qualified(path, files[path], words, Statement(words, schema, types, by))
        ]
        for path, parts in statements.items()
    }


def _qualified(path: str, text: str, words: list[Token], statement: Statement) -> Iterable[Edit]:
    try:
        return statement.edits()
    except NotUnderstoodError as e:
        raise _error(path, text, e.at if e.at is not None else words[-1].end, str(e), words[0].start) from e


def _statements(path: str, text: str) -> Iterable[list[Token]]:
    try:
        found = tokens(text)
    except LexicalError as e:
        raise _error(path, text, e.at, "is not readable: unclosed quote or comment", e.at) from e
    words: list[Token] = []
    by_hand = False
    for token in found:
        if token.kind == "comment":
            by_hand = by_hand or (not words and token.text.rstrip() == QUALIFIED_BY_HAND)
        elif token.kind == "breakpoint" or token.text == ";":
            if words and not by_hand:
                yield words
            by_hand = by_hand and not words
            words = []
        else:
            words.append(token)
    if words and not by_hand:
        yield words


def _error(path: str, text: str, at: int, problem: str, start: int) -> DeployError:
    excerpt = " ".join(text[start : start + 300].split())
    return DeployError(
        Code.PATCH_INCOMPLETE,
        f"{path}:{line_of(text, at)}: this migration statement {problem}, so it cannot be put into the schema.",
        hint=f"Put a copy at overrides/{path} with every name qualified in that statement and a line "
        f"`{QUALIFIED_BY_HAND}` before it.",
        detail=excerpt[:200] + ("…" if len(excerpt) > 200 else ""),
    )
