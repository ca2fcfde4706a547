"""Whole files laid over the upstream tree: the package's, then the user's, each at the path it has in its folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from metamcp_deploy import resources
from metamcp_deploy.errors import Code, DeployError

# Left by editors and file managers, or there so that git keeps an empty folder.
_IGNORED = (".gitkeep", ".DS_Store", "Thumbs.db")


@dataclass(frozen=True)
class Override:
    """One file: its path in the tree, where it comes from, and whether it is the package's own."""

    path: str
    source: Path
    own: bool


def load(user_folder: Path | None = None) -> list[Override]:
    """All overrides, sorted by path; a user's takes the place of the package's at the same path.

    Raises:
        DeployError: FILE_ACCESS, for a symbolic link that leads out of its folder or to a folder, and for `.git`.
    """
    found: dict[str, Override] = {}
    own = resources.shipped("overrides")
    for folder in resources.layered("overrides", user_folder):
        for relative in resources.files_below(folder):
            if relative.name not in _IGNORED:
                _refuse_unsafe(folder, relative)
                path = relative.as_posix()
                found[path] = Override(path, folder / relative, folder == own)
    return [found[path] for path in sorted(found)]


def lay(tree: Path, overrides: Iterable[Override]) -> list[str]:
    """Copies overrides into the tree, executable bit included.

    Returns:
        paths that replace a file of the tree; the others add one.

    Raises:
        DeployError: FILE_ACCESS, when a path would leave the tree (a link of the upstream) or is a folder there.
    """
    root = tree.resolve()
    replaced = []
    for override in overrides:
        target = tree / override.path
        if not target.parent.resolve().is_relative_to(root):
            raise _refused(
                override.source, "would be written outside of the tree, through a link of the upstream"
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as e:
            raise _refused(override.source, "needs a folder where the upstream has a file") from e
        if target.is_dir() and not target.is_symlink():
            raise _refused(override.source, "is a file where the upstream has a folder")
        if target.is_symlink() or target.exists():
            replaced.append(override.path)
            target.unlink()
        shutil.copyfile(override.source, target)
        target.chmod(0o755 if os.access(override.source, os.X_OK) else 0o644)
    return replaced


def _refuse_unsafe(folder: Path, relative: Path) -> None:
    path = folder / relative
    if ".git" in relative.parts:
        raise _refused(path, "is part of a git repository; overrides are plain files")
    # resolve() of the whole path also sees a linked folder in the middle of it
    if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(folder.resolve())):
        raise _refused(path, "is a symbolic link that leads out of its folder, to a folder or nowhere")


def _refused(path: Path, problem: str) -> DeployError:
    return DeployError(
        Code.FILE_ACCESS,
        f"Override {path} {problem}.",
        hint=f"Replace {path} by a regular file, or delete it.",
    )
