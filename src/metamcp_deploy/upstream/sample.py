"""The sample upstream as a git repository, made from the package's own files.

`demo` and the tests deploy it the way they would deploy the real one: by a url and a tag.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from metamcp_deploy import fingerprint, resources

TAG = "sample-v1"
# What a developer's own install or build may leave in a checkout of this project.
_LEFT_BEHIND = frozenset({"node_modules", "dist", ".next", "next-env.d.ts", "tsconfig.tsbuildinfo"})
_WHEN = "2026-01-01T00:00:00+00:00"


def sample_repository(cache: Path) -> Path:
    """A git repository with the sample as one commit on `main`, tagged `sample-v1`; made once for each content.

    Args:
        cache: a folder that may be deleted at any time.

    Returns:
        the repository's folder. Author, date and file modes are fixed, so the commit's id depends on the content only.

    Raises:
        DeployError: TOOL_MISSING without git.
    """
    folder = resources.PACKAGE / "sample"
    digest = fingerprint.of_value({str(p): fingerprint.of_file(folder / p) for p in _files(folder)})
    target = cache / "sample" / digest[:16]
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as made:
            _make(folder, Path(made, "repository"))
            try:
                Path(made, "repository").rename(target)
            except OSError:
                if not target.is_dir():  # otherwise another process was faster, with the same content
                    raise
    return target


def _files(folder: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in _LEFT_BEHIND)
        for name in sorted(set(names) - _LEFT_BEHIND):
            yield Path(base, name).relative_to(folder)


def _make(source: Path, target: Path) -> None:
    from metamcp_deploy.git.repository import Repository

    for path in _files(source):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)
    who = {"NAME": "metamcp-deploy", "EMAIL": "sample@example.com", "DATE": _WHEN}
    with Repository.init(target, quiet=True) as repository:
        git = repository.git
        git.update_environment(
            **{f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
        )
        git.symbolic_ref("HEAD", "refs/heads/main")
        git.config("core.fileMode", "false")
        git.add("--all")
        git.commit("--quiet", "--message", "A small gateway")
        git.tag("--annotate", TAG, "--message", "The sample, first version")
