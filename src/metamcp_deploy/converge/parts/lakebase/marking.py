"""Gives a project or instance the mark of the target that made it, where the workspace takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from metamcp_deploy import events
from metamcp_deploy.converge.parts.lakebase.fields import TAGS
from metamcp_deploy.errors import Code
from metamcp_deploy.target import marks
from metamcp_deploy.workspace import ApiError

T = TypeVar("T")
REASON = f"it gets the tag {marks.KEY}, by which `destroy` knows that this target made it"


def marked(
    act: Callable[[dict[str, Any]], T],
    name: str,
    root: str,
    spec: Mapping[str, Any],
    present: Mapping[str, Any] | None = None,
) -> T:
    """Makes or changes a thing with the mark; without it where the workspace refuses that, which may be a policy.

    Args:
        act: carries a spec out.
        name: of the thing.
        root: of the target.
        spec: what is wanted besides; its own tags stay.
        present: of a thing that is there: its tags stay, too.
    """
    tags = marks.added(spec.get(TAGS) or (present or {}).get(TAGS), root)
    try:
        return act({**spec, TAGS: tags})
    except ApiError as e:
        if e.code is not Code.REQUEST_REFUSED:
            raise
        done = act(dict(spec))  # whatever else was refused is refused again
        text = f"The workspace refused the tag {marks.KEY} on {name}: `destroy` goes by the signed ledger."
        events.emit(events.Warned(f"{text} {e.message}"))
        return done
