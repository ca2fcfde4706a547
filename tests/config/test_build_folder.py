"""`build/` holds credentials: whoever makes it hides it from git."""

from __future__ import annotations

from pathlib import Path

from metamcp_deploy import config


def test_git_does_not_see_it_and_a_file_of_the_users_stays(folder: Path) -> None:
    project = config.load(folder)
    project.make_build()
    ignore = folder / "build" / ".gitignore"
    assert ignore.read_text() == "*\n"
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith(".git")) == []
    ignore.write_text("mine\n")
    project.make_build()
    assert ignore.read_text() == "mine\n"
