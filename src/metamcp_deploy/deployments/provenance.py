"""Where a deployment comes from: the commit of the user's configuration, and the CI run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metamcp_deploy import process
from metamcp_deploy.config.project import Project


def configuration(project: Project) -> dict[str, Any] | None:
    """The commit that the user's configuration is from, and whether it was changed since; None outside of git."""
    if process.find("git") is None:
        return None
    git = ["git", "-C", str(project.folder)]
    head = process.run([*git, "rev-parse", "HEAD"], check=False)
    if head.returncode != 0:
        return None
    changed = process.run([*git, "status", "--porcelain", "--untracked-files=no", "--", "."], check=False)
    return {"commit": head.stdout.strip(), "dirty": bool(changed.stdout.strip())}


def pipeline_url(environment: Mapping[str, str]) -> str | None:
    """The address of the CI run that this is, on the systems that tell it."""
    server, repository, run = (environment.get(f"GITHUB_{n}") for n in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    if server and repository and run:
        return f"{server}/{repository}/actions/runs/{run}"
    return environment.get("CI_PIPELINE_URL") or environment.get("BUILD_URL") or None
