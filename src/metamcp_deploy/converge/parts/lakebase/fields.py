"""Which fields of a thing of Lakebase differ from what is wanted, and who made the difference."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from metamcp_deploy.plan import Difference
from metamcp_deploy.target.databases.autoscaling import SUSPENSION, suspension

TAGS = "custom_tags"
# A status may show the policy that is effective, or none: one that was sent is not sent again.
_NOT_SHOWN = frozenset({"budget_policy_id", "usage_policy_id"})


def differing(
    wanted: Mapping[str, Any], present: Mapping[str, Any], stated: Mapping[str, Any], *, never: bool = False
) -> tuple[Difference, ...]:
    """The fields that are not as wanted; both of suspension count as one, and tags of others stay.

    Args:
        wanted: of a spec, as the API spells it.
        present: of the thing's status.
        stated: what the settings stated when what runs was deployed; what they state still was changed by hand.
        never: as `_plain` takes it, of `present`.
    """
    wanted, present, stated = _plain(wanted), _plain(present, never=never), _plain(stated)
    found = []
    for field, value in wanted.items():
        before, after = present.get(field), value
        known = field in stated and same(stated[field], value)
        if field == TAGS:
            after = {**(before or {}), **value}
        if same(before, after) or (before is None and known and field in _NOT_SHOWN):
            continue
        found.append(Difference(field, before, after, "hand" if known else "settings"))
    return tuple(found)


def spec(differences: Iterable[Difference]) -> dict[str, Any]:
    """The fields of a spec that end these differences."""
    made: dict[str, Any] = {}
    for one in differences:
        if one.field == "suspension":
            made |= suspension(one.after)
        else:
            made[one.field] = listed(one.after) if one.field == TAGS else one.after
    return made


def status(thing: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What Lakebase says of a thing; nothing of one that is not there."""
    return (thing or {}).get("status") or {}


def listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as the API has them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def _plain(fields: Mapping[str, Any], *, never: bool = False) -> dict[str, Any]:
    """Fields of a spec or status with tags as a mapping and suspension as one field: `300s` or `never`.

    Args:
        fields: as the API spells them.
        never: neither field of suspension means that nothing is suspended: a status has the duration alone.
    """
    plain = {k: v for k, v in fields.items() if k not in SUSPENSION}
    if isinstance(plain.get(TAGS), list):
        plain[TAGS] = {str(tag.get("key")): str(tag.get("value") or "") for tag in plain[TAGS]}
    after = None if fields.get("no_suspension") else fields.get("suspend_timeout_duration")
    if fields.get("no_suspension") or (never and fields and _seconds(after) in (None, 0.0)):
        after = "never"
    return {**plain, "suspension": after} if after else plain


def same(before: Any, after: Any) -> bool:
    """Whether two values of a field mean the same: `300s` and `300.0s`; nothing and False."""
    return _seconds(before) == _seconds(after) or (before is None and after is False)


def _seconds(value: Any) -> Any:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s", value) if isinstance(value, str) else None
    return float(match[1]) if match else value
