"""Records of deployments, `<root>/deployments/<time>-<id>.json`: what ran where with which settings.

The platform forgets a deployment's environment, so that a rollback needs it from here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from metamcp_deploy import __version__, process
from metamcp_deploy.config.project import Project

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace


@dataclass(frozen=True)
class Wanted:
    """What a deployment runs; two that are equal need no second one.

    Attributes:
        release: id.
        source_code_path: where the release is.
        env: the complete environment; secrets stand in it as the names of resources only.
        resources: the app's resources, whose values the platform injects when a process starts.
        secrets: key of the scope → when its value was last written, in milliseconds since the epoch.
    """

    release: str
    source_code_path: str
    env: list[dict[str, str]]
    resources: list[dict[str, Any]]
    secrets: dict[str, int]


def matches(record: Mapping[str, Any] | None, wanted: Wanted) -> bool:
    """Whether the deployment of this record ran just that."""
    return record is not None and all(record.get(k) == v for k, v in asdict(wanted).items())


def new(
    project: Project, user: str, host: str, deployment: str, wanted: Wanted, message: str | None
) -> dict[str, Any]:
    """The record of a deployment that has just begun."""
    return {
        "format": 1,
        "deployment": deployment,
        "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "by": user,
        "tool": __version__,
        "host": host,
        "target": project.settings.target,
        "app": project.settings.app.name,
        **asdict(wanted),
        "configuration": configuration(project),
        "pipeline": pipeline_url(os.environ),
        "message": message,
        "outcome": "IN_PROGRESS",
    }


def write(workspace: Workspace, root: str, record: Mapping[str, Any]) -> str:
    """Writes a record, over its earlier version; gives its path."""
    time = str(record["at"]).replace("-", "").replace(":", "")
    path = f"{root}/deployments/{time}-{record['deployment']}.json"
    workspace.files.make_folder(f"{root}/deployments")
    workspace.files.write(path, json.dumps(record, indent=1).encode())
    return path


def find(workspace: Workspace, root: str, deployment: str) -> tuple[str, dict[str, Any]] | None:
    """Path and record of a deployment; None when this tool did not make it (or the record is broken)."""
    folder = f"{root}/deployments"
    for name in workspace.files.entries(folder):
        if name.endswith(f"-{deployment}.json"):
            content = workspace.files.read(f"{folder}/{name}")
            try:
                record = json.loads(content or b"")
            except ValueError:
                return None
            return (f"{folder}/{name}", record) if isinstance(record, dict) else None
    return None


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
