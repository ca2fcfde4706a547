"""Whole trees: the files of a commit, replacing a tree by a new one, and the difference between two."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metamcp_deploy import process, resources

# git's settings by environment: they win over the user's and the repository's own, and keep command lines short.
_WANTED = {"core.bare": "false", "core.autocrlf": "false", "core.eol": "lf", "core.fsmonitor": "false"}
_SETTINGS = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_COUNT": str(len(_WANTED)),
    **{f"GIT_CONFIG_KEY_{n}": key for n, key in enumerate(_WANTED)},
    **{f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(_WANTED.values())},
}


def export(repository: Path, commit: str, target: Path) -> None:
    """Writes the files of a commit to a folder: exactly what is committed, whatever the checkout looks like.

    The repository is only read: the index is a scratch one, and no setting of the user's git changes line ends.

    Raises:
        DeployError: PROCESS_FAILED, when the commit is not there; TOOL_MISSING without git.
    """
    target.mkdir(parents=True, exist_ok=True)
    hint = f"Delete {repository} and run `metamcp-deploy prepare`."
    with tempfile.TemporaryDirectory(prefix="metamcp-index-") as scratch:
        places = {"GIT_INDEX_FILE": str(Path(scratch, "index")), "GIT_WORK_TREE": str(target.absolute())}
        env = process.base_environment(**places, **_SETTINGS)
        for command in (["read-tree", commit], ["checkout-index", "--all"]):
            process.run(["git", "-C", repository, *command], env=env, hint=hint)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the block ends well.

    When it does not, the new folder is removed and `target` stays. What a killed run left beside is cleared first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".{target.name}.*"):
        owner = re.fullmatch(rf"\.{re.escape(target.name)}\.(?:new|old)\.(\d+)", leftover.name)
        if owner and (int(owner[1]) == os.getpid() or not _alive(int(owner[1]))):
            shutil.rmtree(leftover, ignore_errors=True)
    fresh, old = (target.with_name(f".{target.name}.{kind}.{os.getpid()}") for kind in ("new", "old"))
    try:
        fresh.mkdir()
        yield fresh
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    finally:
        if old.exists() and not target.exists():  # interrupted between the two
            old.rename(target)
        for folder in (fresh, old):
            shutil.rmtree(folder, ignore_errors=True)


def difference(before: Path, after: Path) -> str:
    """Unified diff from one folder to the other, in the order of paths, that `git apply` takes; without binaries."""
    names = {*resources.files_below(before), *resources.files_below(after)}
    return "".join(_of_file(before, after, name) for name in sorted(n.as_posix() for n in names))


def _of_file(before: Path, after: Path, name: str) -> str:
    old, new = _mode_and_content(before / name), _mode_and_content(after / name)
    if old == new:
        return ""
    head = f"diff --git a/{name} b/{name}\n"
    if old is None and new:
        head += f"new file mode {new[0]}\n"
    elif new is None and old:
        head += f"deleted file mode {old[0]}\n"
    elif old and new and old[0] != new[0]:
        head += f"old mode {old[0]}\nnew mode {new[0]}\n"
    try:
        from_lines, to_lines = _lines(old), _lines(new)
    except UnicodeDecodeError:
        return f"{head}Binary files a/{name} and b/{name} differ\n"
    from_name, to_name = f"a/{name}" if old else "/dev/null", f"b/{name}" if new else "/dev/null"
    body = difflib.unified_diff(from_lines, to_lines, from_name, to_name)
    return head + "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in body
    )


def _lines(file: tuple[str, bytes] | None) -> list[str]:
    # not splitlines(): a form feed or U+2028 inside a line ends none for git
    return re.findall(r"[^\n]*\n|[^\n]+", file[1].decode()) if file else []


def _mode_and_content(path: Path) -> tuple[str, bytes] | None:
    if path.is_symlink():
        return "120000", str(path.readlink()).encode()
    if not path.is_file():
        return None
    return "100755" if os.access(path, os.X_OK) else "100644", path.read_bytes()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and there
    return True
