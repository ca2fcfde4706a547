"""Where a deployment comes from: the commit of the user's configuration, and the CI run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError


def configuration(project: Project) -> dict[str, Any] | None:
    """The commit that the user's configuration is from, and whether it was changed since; None outside of git."""
    from metamcp_deploy.git import environments
    from metamcp_deploy.git.repository import UNREADABLE, Repository

    try:
        folder = project.folder.resolve()
        with Repository(folder, search_parent_directories=True) as repository:
            repository.git.env = environments.users()
            commit = repository.head.commit.hexsha
            return {"commit": commit, "dirty": repository.is_dirty(path=folder)}
    except UNREADABLE:
        return None
    except DeployError as e:
        if e.code is not Code.TOOL_MISSING:
            raise
        return None


def pipeline_url(environment: Mapping[str, str]) -> str | None:
    """The address of the CI run that this is, on systems that name it."""
    server, repository, run = (environment.get(f"GITHUB_{n}") for n in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    if server and repository and run:
        return f"{server}/{repository}/actions/runs/{run}"
    return environment.get("CI_PIPELINE_URL") or environment.get("BUILD_URL") or None
