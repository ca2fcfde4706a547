"""Statements that hand a schema and what is in it to another role: these objects and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from metamcp_deploy.database.facts import Owned, Schema


def quoted(name: str) -> str:
    """A name as SQL's identifier."""
    return '"' + name.replace('"', '""') + '"'


def named(one: Owned) -> str:
    """An object's whole name; a function's arguments stand as the catalogue spells them."""
    name, parenthesis, arguments = one.name.partition("(")
    rest = parenthesis + arguments if one.kind in ("FUNCTION", "PROCEDURE") else ""
    return f"{quoted(one.schema)}.{quoted(name if rest else one.name)}{rest}"


def statements(found: Schema, to: str) -> Iterator[str]:
    """The schema first: whoever gets an object needs CREATE in its schema."""
    if found.owner != to:
        yield f"ALTER SCHEMA {quoted(found.name)} OWNER TO {quoted(to)};"
    for one in found.objects:
        if one.owner != to:
            yield f"ALTER {one.kind} {named(one)} OWNER TO {quoted(to)};"
