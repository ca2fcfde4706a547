"""Whole files over the tree, and what they may not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.patches import overrides
from tests.patches.patch_helpers import write


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return write(tmp_path / "overrides", {"added/by me.txt": "new\n", "there.txt": "mine\n", ".gitkeep": ""})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(tmp_path / "tree", {"there.txt": "upstream\n", "folder/file.txt": "x\n"})


def own(mine: Path) -> list[overrides.Override]:
    return [o for o in overrides.load(mine) if not o.own]


def test_files_are_added_and_replaced(tree: Path, mine: Path) -> None:
    (mine / "there.txt").chmod(0o755)
    assert overrides.lay(tree, own(mine)) == ["there.txt"]
    assert (tree / "added/by me.txt").read_text() == "new\n"
    assert (tree / "there.txt").read_text() == "mine\n"
    assert (tree / "there.txt").stat().st_mode & 0o777 == 0o755
    assert (tree / "added/by me.txt").stat().st_mode & 0o777 == 0o644
    assert not (tree / ".gitkeep").exists()


def test_a_users_file_takes_the_place_of_the_packages(mine: Path) -> None:
    path = "apps/backend/src/databricks/database-password.ts"
    assert [o.own for o in overrides.load() if o.path == path] == [True]
    write(mine, {path: "export {};\n"})
    assert [o.source for o in overrides.load(mine) if o.path == path] == [mine / path]


def test_a_link_inside_the_folder_gives_its_content(tree: Path, mine: Path) -> None:
    (mine / "alias.txt").symlink_to("there.txt")
    overrides.lay(tree, own(mine))
    assert not (tree / "alias.txt").is_symlink()
    assert (tree / "alias.txt").read_text() == "mine\n"


@pytest.mark.parametrize("target", ["/etc/hostname", "../secret", "nowhere", "added"])
def test_a_link_out_to_a_folder_or_nowhere_is_refused(mine: Path, target: str) -> None:
    (mine.parent / "secret").write_text("s\n")
    (mine / "link").symlink_to(target)
    with pytest.raises(DeployError, match="symbolic link") as caught:
        overrides.load(mine)
    assert caught.value.code is Code.FILE_ACCESS


def test_git_metadata_is_refused(mine: Path) -> None:
    write(mine, {"apps/.git/config": "x\n"})
    with pytest.raises(DeployError, match="part of a git repository"):
        overrides.load(mine)


def test_a_link_in_the_tree_leads_nothing_out(tree: Path, mine: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"file.txt": "safe\n"})
    (tree / "way").symlink_to(outside)
    write(mine, {"way/file.txt": "over\n"})
    with pytest.raises(DeployError, match="outside of the tree"):
        overrides.lay(tree, own(mine))
    assert (outside / "file.txt").read_text() == "safe\n"


def test_a_linked_file_of_the_tree_is_replaced_itself(tree: Path, mine: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"file.txt": "safe\n"})
    (tree / "there.txt").unlink()
    (tree / "there.txt").symlink_to(outside / "file.txt")
    overrides.lay(tree, own(mine))
    assert (outside / "file.txt").read_text() == "safe\n"
    assert (tree / "there.txt").read_text() == "mine\n"


@pytest.mark.parametrize(("path", "problem"), [("there.txt/x", "needs a folder"), ("folder", "has a folder")])
def test_a_file_and_a_folder_do_not_mix(tree: Path, tmp_path: Path, path: str, problem: str) -> None:
    mine = write(tmp_path / "mixed", {path: "x\n"})
    with pytest.raises(DeployError, match=problem):
        overrides.lay(tree, own(mine))
