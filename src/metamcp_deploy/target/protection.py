"""What a protected target requires before the first write: a pin that cannot move, and committed configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metamcp_deploy import config, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError

# Python leaves these beside patches; git ignores them nearly everywhere, and so do the stages.
_COMPILED = "__pycache__/"
_CRITICAL = 9.0  # CVSS


def allow(project: Project) -> None:
    """Does nothing for a target that is not protected; needs no network.

    Raises:
        DeployError: TARGET_PROTECTED, for a branch as pin, for configuration that is not committed and for a release of
            another commit; CONFIG_INVALID without a root of its own.
    """
    if not project.settings.protected:
        return
    if not project.settings.workspace.root_path:
        raise DeployError(
            Code.CONFIG_INVALID,
            f"The protected target {project.settings.target} has no workspace.root_path: with a root per user, a "
            "laptop and a pipeline would not see each other's locks and releases.",
            hint="Set workspace.root_path to a folder of the principal that deploys, for example "
            "/Workspace/Users/<its name>/metamcp, and give the other deployers CAN MANAGE on it.",
        )
    # `build` says it where the bundle came out of a file: `prepare` has not run then, or for something else.
    records = (pipeline.recorded(project.state, stage) for stage in ("build", "prepare"))
    kinds = (str(r["facts"]["kind"]) for r in records if r and r["facts"].get("kind"))
    config.guard(project, next(kinds, None))
    for path in project.committed:
        _committed(project.settings.target, path)
    _locked(project)


def of_release(project: Project, about: Mapping[str, Any]) -> None:
    """Whether a protected target takes a release: built from the commit that its settings name, without critical holes.

    Args:
        project: with the target's settings.
        about: its release.json.

    Raises:
        DeployError: TARGET_PROTECTED.
    """
    wanted, built = project.settings.upstream.commit, (about.get("upstream") or {}).get("commit")
    if project.settings.protected and wanted and built and built != wanted:
        raise DeployError(
            Code.TARGET_PROTECTED,
            f"Target `{project.settings.target}` is protected and upstream.commit is {wanted}, but the release was "
            f"built from {built}.",
            hint=f"Build it again: metamcp-deploy deploy -t {project.settings.target}. Or commit {built} as "
            "upstream.commit, if that is the one that was approved.",
        )

    _without_critical(project, about)


def _without_critical(project: Project, about: Mapping[str, Any]) -> None:
    accepted = project.settings.upstream.accepted_advisories
    critical = (
        hole
        for hole in about.get("advisories") or []
        if hole.get("package") and (hole.get("severity") or 0) >= _CRITICAL and not hole["here"]
    )
    left = sorted({hole["id"] for hole in critical} - set(accepted))
    if project.settings.protected and left:
        raise DeployError(
            Code.TARGET_PROTECTED,
            f"Target `{project.settings.target}` is protected, and nothing closes critical holes of the release's "
            f"packages: {', '.join(left)}.",
            hint="Read them: metamcp-deploy release advisories. Build with fixed packages (an override of package.json "
            f"and pnpm-lock.yaml), or accept them: upstream.accepted_advisories: [{', '.join(left)}]",
        )


def _locked(project: Project) -> None:
    """The release that was built, which may come from an archive."""
    try:
        about = json.loads((project.bundle / "app" / "release.json").read_text())
    except (OSError, ValueError):
        return  # no release: who needs one reports that
    if isinstance(about, dict) and isinstance(about.get("upstream"), dict):
        of_release(project, about)


def _committed(target: str, path: Path) -> None:
    """Checks that the file, or all of the folder, is committed as it is here."""
    from metamcp_deploy.git import environments
    from metamcp_deploy.git.repository import UNREADABLE, Repository

    try:
        folder = path.parent.resolve()
        with Repository(folder, search_parent_directories=True) as repository:
            repository.git.env = environments.users()
            arguments = [
                "--porcelain",
                "--untracked-files=all",
                "--ignored=matching",
                "--",
                folder / path.name,
            ]
            lines = repository.git.status(*arguments).splitlines()
    except UNREADABLE as e:
        raise _refused(
            target,
            f"git does not say whether {path} is committed: "
            f"{getattr(e, 'complaint', None) or 'it is in no repository'}",
            f"Keep the configuration in a git repository: git -C {path.parent} init, then add and commit it.",
        ) from None
    except DeployError as e:
        if e.code is not Code.TOOL_MISSING:
            raise
        raise _refused(
            target, f"git is not on PATH, so nobody knows whether {path} is committed", "Install git."
        ) from None
    changed = [line for line in lines if not line.rstrip().endswith(_COMPILED)]
    if changed:
        raise _refused(
            target,
            f"{path} differs from what is committed",
            f"Commit it: git -C {path.parent} add {path.name} && git -C {path.parent} commit",
            "\n".join(changed),
        )


def _refused(target: str, why: str, hint: str, detail: str | None = None) -> DeployError:
    return DeployError(
        Code.TARGET_PROTECTED,
        f"Target `{target}` is protected and takes committed configuration only: {why}.",
        hint=hint,
        detail=detail,
    )
