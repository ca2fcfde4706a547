"""The platform's own check of a deployment: it passes the app to a release once the launcher says that it serves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metamcp_deploy import knowledge

PATH = "/.metamcp-deploy/ready"  # of the launcher; it needs no secret
_FIRST_FORMAT = 2  # of releases: launchers of earlier ones would never pass
OVERLAP = "the previous deployment serves until this one is healthy, also while its migrations run"
_FAILED = re.compile(r"Start failed at step (\S+) \((\w+)\): (.*)")


def check(seconds: int | None, about: Mapping[str, Any]) -> dict[str, str] | None:
    """The field `health_check` of a deployment; None where the settings want none, or the release cannot pass it.

    Args:
        seconds: within which it has to pass, as `app.health_check` says.
        about: release.json of the release.
    """
    if seconds is None or int(about.get("format") or 1) < _FIRST_FORMAT:
        return None
    return {"path": PATH, "timeout": f"{seconds}s"}


def cause(lines: Sequence[str]) -> tuple[str, str]:
    """Why a release did not get ready, by its log: the launcher's words, and what ends it; empty where it is unknown.

    Until it is ready no request reaches it, so nobody sees the launcher's page.
    """
    found = next((match for line in reversed(lines) if (match := _FAILED.search(line))), None)
    if found is None:
        return "", ""
    step, code, message = found.groups()
    known = knowledge.recognise("launcher", step=step, code=code, log="\n".join(lines))
    return f"Its launcher failed at step {step} ({code}): {message}", known.cause if known else ""
