"""Syntax trees of the languages that a patch can edit, through ast-grep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from ast_grep_py import SgNode

LANGUAGES = {
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "tsx",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".json": "json",
    ".css": "css",
    ".html": "html",
    ".yaml": "yaml",
    ".yml": "yaml",
}
Rule = str | Mapping[str, Any]


def parsed(suffix: str, text: str) -> SgNode:
    """The root of a file's syntax tree; `suffix` is one of LANGUAGES."""
    from ast_grep_py import SgRoot

    return SgRoot(text, LANGUAGES[suffix]).root()


def matches(root: SgNode, rule: Rule, whose: str) -> list[SgNode]:
    """All nodes that a pattern or rule matches, in the order of the file.

    Args:
        rule: an ast-grep pattern, a rule object, or `{rule: ..., constraints: ...}`.
        whose: names the patch and edit in errors.

    Raises:
        DeployError: PATCH_INVALID, when ast-grep does not accept the rule.
    """
    config: Any = {"rule": {"pattern": rule}} if isinstance(rule, str) else rule
    if "rule" not in config:
        config = {"rule": config}
    try:
        return root.find_all(config)
    except Exception as e:  # ast-grep raises bare Exception and RuntimeError for rules it does not know
        raise DeployError(
            Code.PATCH_INVALID,
            f"{whose}: ast-grep does not accept its rule {worded(rule)}.",
            hint="See ast-grep's rule reference for what a pattern and a rule object may be.",
            detail=str(e).partition("Stack backtrace")[0].strip(),
        ) from e


def worded(rule: Rule) -> str:
    """A rule on one line, for messages."""
    return f"`{rule}`" if isinstance(rule, str) else f"`{dict(rule)}`"


def broken_at(root: SgNode) -> int | None:
    """Where a tree does not parse (character index): an ERROR node, or a token that the parser had to make up."""
    error = root.find(kind="ERROR") if root.kind() != "ERROR" else root
    # A token that is missing has no text; of complete trees only an empty file's root has none.
    made_up = next((n for n in root.find_all(regex="^$") if n.parent() is not None), None)
    found = error or made_up
    return found.range().start.index if found else None
