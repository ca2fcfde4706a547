"""Decides from records alone, without a query, whether the database moved on since a deployment.

A release's migrations run when its deployment starts. So the database has those of every deployment that was begun
on it, also of one that failed: nobody else knows how far it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metamcp_deploy.deployments.records import Record
from metamcp_deploy.target.databases import attached


@dataclass(frozen=True)
class SchemaChanges:
    """What happened to the database since a deployment.

    Attributes:
        names: migrations that its release does not know, in their order.
        unrecorded: deployments whose migrations were not recorded, so that nobody can say.
        first: the earliest deployment that brought one of these (or, where there is none, the earliest one since).
    """

    names: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()
    first: Record | None = None

    def __bool__(self) -> bool:
        return bool(self.names or self.unrecorded)


def since(target: Record, records: Sequence[Record]) -> SchemaChanges:
    """What the deployments after `target`, on the same database, brought that its release does not know.

    Args:
        target: a deployment.
        records: newest first.
    """
    later = [
        r
        for r in reversed(records)
        if r.at > target.at and attached(r.resources).identity == attached(target.resources).identity
    ]
    moving = [r for r in later if r.release != target.release]
    if not moving:
        return SchemaChanges(first=next(iter(later), None))
    if target.migrations is None:
        return SchemaChanges(unrecorded=(target.deployment,), first=moving[0])
    known = set(target.migrations)
    unrecorded = tuple(r.deployment for r in moving if r.migrations is None)
    names = dict.fromkeys(n for r in moving for n in r.migrations or () if n not in known)
    bringing = (r for r in moving if r.migrations is None or not known.issuperset(r.migrations))
    return SchemaChanges(tuple(names), unrecorded, next(bringing, later[0]))
