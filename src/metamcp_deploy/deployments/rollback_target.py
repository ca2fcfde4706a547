"""Which deployment a rollback goes back to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from metamcp_deploy.deployments.records import Record
from metamcp_deploy.errors import Code, DeployError

SUCCEEDED = "SUCCEEDED"
_SHORTEST = 4  # digits of an id


def since_destroyed(records: Sequence[Record]) -> list[Record]:
    """The records, newest first, of what the target has now: not those from before it was destroyed."""
    return list(takewhile(lambda record: record.kind != "destroy", records))


def unfinished(records: Sequence[Record]) -> str | None:
    """What the newest deployment goes back to, where it is a rollback that did not end well: it is taken up again."""
    newest = next(iter(records), None)
    return newest.of if newest and newest.kind == "rollback" and newest.outcome != SUCCEEDED else None


def choose(records: Sequence[Record], running: str | None, named: str | None, history: str) -> Record:
    """The deployment to go back to.

    Args:
        records: newest first.
        running: id of the deployment that runs, as the platform says; None when it does not know one.
        named: an id, or its first digits; None for the newest good one before what runs.
        history: the command that lists deployments, for hints.

    Raises:
        DeployError: NOT_FOUND.
    """
    if named is not None:
        return _named(records, named, history)
    good = [record for record in records if record.outcome == SUCCEEDED]
    if records and records[0].outcome != SUCCEEDED:
        # The newest one failed: what ran before it is meant, not what ran before that.
        candidates = good
    else:
        base = _base(records, running)
        before = records[records.index(base) + 1 :] if base else records
        candidates = [r for r in before if r in good and not (base and _same(r, base))]
    if not candidates:
        raise DeployError(
            Code.NOT_FOUND,
            "There is no earlier good deployment to go back to.",
            hint=f"{history} shows what there was.",
        )
    return candidates[0]


def _base(records: Sequence[Record], running: str | None) -> Record | None:
    """What runs, or what it repeats: a second rollback goes further back instead of returning to what was left.

    None when somebody deployed by hand.
    """
    by_id = {record.deployment: record for record in records}
    if running is not None and running not in by_id:
        return None
    base = by_id[running] if running else next(iter(records), None)
    while base is not None and base.kind == "rollback" and base.of in by_id:
        base = by_id[base.of]
    return base


def _same(one: Record, other: Record) -> bool:
    """Whether two ran the same, values of secrets aside."""
    return all(one.raw.get(key) == other.raw.get(key) for key in ("release", "env", "resources"))


def _named(records: Sequence[Record], named: str, history: str) -> Record:
    found = [r for r in records if r.deployment.startswith(named)] if len(named) >= _SHORTEST else []
    if len(found) != 1:
        what = "No deployment" if not found else f"{len(found)} deployments"
        raise DeployError(
            Code.NOT_FOUND,
            f"{what} of this target that metamcp-deploy recorded begins with {named!r}.",
            hint=f"{history} shows them; name at least {_SHORTEST} digits, and enough to distinguish it from others.",
        )
    if found[0].outcome != SUCCEEDED:
        raise DeployError(
            Code.NOT_FOUND,
            f"Deployment {found[0].deployment} ended {found[0].outcome}: it never ran well, and is nothing to go back "
            "to.",
            hint=f"{history} shows which did.",
        )
    return found[0]
