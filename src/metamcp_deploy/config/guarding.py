"""What a protected target refuses before its first write, as far as settings and the pin's kind can tell."""

from __future__ import annotations

import re

from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.origin import FILE
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError


def guard(project: Project, kind: str | None = None) -> None:
    """Does nothing for a target that is not protected; else refuses a pin that moves.

    Args:
        project: of the target that is about to be written to.
        kind: of the pin, as `prepare` found it: tag, branch or commit; None when it has not looked.

    Raises:
        DeployError: TARGET_PROTECTED.
    """
    settings = project.settings
    if not settings.protected:
        return
    if kind == "branch":
        raise DeployError(
            Code.TARGET_PROTECTED,
            f"Target `{settings.target}` is protected and upstream.ref `{settings.upstream.ref}` is a branch.",
            hint=f"Name a tag or a full commit as upstream.ref in {project.folder / FILE}.",
        )
    if kind is None and (text := unlocked(settings)):
        raise DeployError(
            Code.TARGET_PROTECTED,
            text,
            hint=f"Add the commit that `metamcp-deploy prepare` prints as upstream.commit to {project.folder / FILE}.",
        )


def unlocked(settings: Settings) -> str | None:
    """Why a protected target's pin could move; None when it is a full commit or locked by one."""
    upstream = settings.upstream
    if not settings.protected or upstream.commit or re.fullmatch(r"[0-9a-f]{40}", upstream.ref):
        return None
    return (
        f"Target `{settings.target}` is protected, but only the name `{upstream.ref}` pins the upstream: "
        "upstream.commit is not set."
    )


def locked_out(settings: Settings) -> str | None:
    """Why nobody could make an account on a fresh deployment; None when somebody can."""
    app = settings.app
    if settings.sign_up != "operators" or app.operators or "OIDC_CLIENT_ID" in app.env:
        return None
    return f"Nobody can sign up on target `{settings.target}`: app.sign_up is `operators`, and app.operators is empty."


LOCKED_OUT_HINT = "Add your address to app.operators in metamcp.yaml, or set app.sign_up."
