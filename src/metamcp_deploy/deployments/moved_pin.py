"""Reports a release of the upstream whose tag was moved since the deployment before, whichever machine made that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metamcp_deploy import events
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.upstream import advisories


def same_release(before: Record | None, url: str, ref: str) -> bool:
    """Whether the deployment before has this release of the upstream: a tag, which is not meant to move."""
    was = (before.raw.get("upstream") if before else None) or {}
    return (was.get("url"), was.get("ref")) == (url, ref) and advisories.release_of(ref) is not None


def report(before: Record | None, about: Mapping[str, Any]) -> None:
    """Warns where the deployment before has the same tag at another commit.

    Args:
        before: record of the newest deployment; None without one.
        about: release.json of what is deployed.
    """
    was, now = ((before.raw.get("upstream") if before else None) or {}), about.get("upstream") or {}
    ref = str(now.get("ref") or "")
    if before is None or not same_release(before, str(now.get("url")), ref):
        return
    if was.get("commit") == now.get("commit"):
        return
    text = (
        f"The tag {ref} moved: {before.raw.get('by')} deployed it as {was.get('commit')}, and now it is "
        f"{now.get('commit')}. Tags are not meant to move."
    )
    hint = f"Find out why; `upstream.commit: {was.get('commit')}` in metamcp.yaml refuses any other commit."
    events.emit(events.Warned(text, hint))
