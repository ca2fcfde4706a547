import os
from collections.abc import Callable
from pathlib import Path

from metamcp_deploy.release.build import work
from metamcp_deploy.release.build.work import Work

Write = Callable[[Path, dict[str, str | bytes]], Path]


def test_mirror_makes_the_same_but_keeps_dependencies(tmp_path: Path, write: Write) -> None:
    source = write(tmp_path / "source", {"a": "1", "d/b": "2", "gone/c": "3", "apps/x/package.json": "{}"})
    (source / "link").symlink_to("a")
    (source / "d/b").chmod(0o755)
    to = tmp_path / "to"
    work.mirror(source, to)
    write(to, {"node_modules/p/i.js": "", "apps/x/node_modules/q": "", "apps/x/dist/o.js": "", "stale": ""})
    kept = (to / "a").stat().st_mtime_ns
    write(source, {"d/b": "4", "new": "5"})
    (source / "gone/c").unlink()
    (source / "gone").rmdir()
    (source / "a.swap").mkdir()
    work.mirror(source, to)
    found = {p.relative_to(to).as_posix() for p in to.rglob("*")}
    assert found == {
        *("a", "link", "d", "d/b", "new", "a.swap", "apps", "apps/x", "apps/x/package.json"),
        *(
            "node_modules",
            "node_modules/p",
            "node_modules/p/i.js",
            "apps/x/node_modules",
            "apps/x/node_modules/q",
        ),
    }
    assert (to / "d/b").read_text() == "4"
    assert (to / "link").readlink() == Path("a")
    assert (to / "a").stat().st_mtime_ns == kept


def test_mirror_replaces_a_file_by_a_folder_and_back(tmp_path: Path, write: Write) -> None:
    source, to = write(tmp_path / "source", {"x": "file", "y/z": "folder"}), tmp_path / "to"
    write(to, {"x/inside": "", "y": "file"})
    work.mirror(source, to)
    assert ((to / "x").read_text(), (to / "y/z").read_text()) == ("file", "folder")


def test_mirror_does_not_write_through_links_and_hard_links(tmp_path: Path, write: Write) -> None:
    source, to = write(tmp_path / "source", {"a": "new", "b": "new"}), tmp_path / "to"
    write(tmp_path, {"precious": "old"})
    to.mkdir()
    (to / "a").symlink_to(tmp_path / "precious")
    os.link(tmp_path / "precious", to / "b")
    work.mirror(source, to)
    assert (tmp_path / "precious").read_text() == "old"
    assert ((to / "a").read_text(), (to / "b").read_text()) == ("new", "new")


def test_dependencies_key_names_what_an_installation_depends_on(tmp_path: Path, write: Write) -> None:
    tree = write(
        tmp_path / "tree", {"package.json": "{}", "pnpm-lock.yaml": "1", "apps/a/package.json": "{}"}
    )
    key = work.dependencies_key(tree, ["22"])
    write(tree, {"apps/a/src/index.ts": "x", "README.md": "y"})
    assert work.dependencies_key(tree, ["22"]) == key
    assert work.dependencies_key(tree, ["20"]) != key
    for name in ("pnpm-lock.yaml", "apps/a/package.json", ".npmrc", "patches/x.patch"):
        write(tree, {name: "changed"})
        changed = work.dependencies_key(tree, ["22"])
        assert changed != key
        key = changed


def test_memory_survives_and_a_broken_one_is_empty(tmp_path: Path) -> None:
    here = Work(tmp_path, use_cache=True)
    assert here.recall("built") is None
    here.remember("built", "1")
    here.remember("packed", {"key": "2"})
    assert (here.recall("built"), here.recall("packed")) == ("1", {"key": "2"})
    (tmp_path / "layers.json").write_text('{"built": "1"')
    assert here.recall("built") is None
