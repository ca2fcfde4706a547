import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metamcp_deploy import events, process
from metamcp_deploy.errors import DeployError
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


# As pnpm 9 fails over altered files in its store; with an empty one it succeeds, unless the registry is away.
PNPM = """#!/bin/sh
for store; do :; done
if [ -e "$store/altered" ]; then echo " ERR_PNPM_EISDIR  EISDIR: illegal operation on a directory, read"; exit 1; fi
if [ -e away ]; then echo " ERR_PNPM_FETCH_500  GET https://registry.example.com/x"; exit 1; fi
[ ! -e node_modules/stale ] || exit 9
mkdir -p "$store" node_modules && echo {} > node_modules/.modules.yaml && echo 1 > "$store/new"
"""


def test_a_broken_package_store_is_made_anew(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch, emitted: list[events.Event]
) -> None:
    monkeypatch.setenv("METAMCP_CACHE_DIR", str(tmp_path / "cache"))
    write(tmp_path, {"bin/pnpm": PNPM})
    (tmp_path / "bin/pnpm").chmod(0o755)
    env = process.base_environment(PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    store = write(tmp_path / "cache" / "store", {"altered": "x"})
    patched = write(tmp_path / "patched", {"pnpm-lock.yaml": "", "package.json": "{}", "away": ""})
    here, log = Work(tmp_path / "work", use_cache=True), tmp_path / "log"
    write(here.tree, {"node_modules/stale": ""})
    with pytest.raises(DeployError) as caught:
        here.dependencies("1", patched, env, log)
    assert "ERR_PNPM_FETCH_500" in caught.value.message
    assert [p.name for p in store.iterdir()] == ["altered"]  # it may be whole
    (patched / "away").unlink()
    write(here.tree, {"node_modules/stale": ""})
    here.dependencies("1", patched, env, log)
    assert [p.name for p in store.iterdir()] == ["new"]
    assert [p.name for p in store.parent.iterdir() if p.name.startswith(".store")] == []
    assert any(isinstance(e, events.Note) and str(store) in e.text for e in emitted)
