"""The mark on a Lakebase project or instance: a tag that names the target which made it.

A tag may show on bills and be copied to other regions: its value is a digest of the target's root and names nobody. Key
and value hold lower-case letters, digits and `-` alone, which the tags of every cloud take as they are (GCP's labels
drop the rest: docs.databricks.com, "Use tags to attribute and track usage").
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from metamcp_deploy.config.constraints import MARK_TAG

KEY = MARK_TAG
_DIGITS = 16
SAYS_ANOTHER = f"its tag {KEY} names another target"


def value(root: str) -> str:
    """The tag's value for the target with this root."""
    return hashlib.sha256(root.encode()).hexdigest()[:_DIGITS]


def said(tags: Iterable[Mapping[str, Any]] | None, root: str) -> bool | None:
    """Whether the tags of a thing, as the API has them, name the target with this root; None without such a tag."""
    found = {tag.get("key"): tag.get("value") for tag in tags or ()}.get(KEY)
    return None if found is None else found == value(root)


def added(tags: Iterable[Mapping[str, Any]] | None, root: str) -> list[dict[str, Any]]:
    """These tags, as the API has them, and the mark of the target with this root."""
    others = [dict(tag) for tag in tags or () if tag.get("key") != KEY]
    return [*others, {"key": KEY, "value": value(root)}]
