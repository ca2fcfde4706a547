"""`build/work/`: a copy of the patched tree, where dependencies are installed and upstream's own build runs.

Dependencies and build output are layers, each with a key over all its inputs. A layer with an unchanged key is kept.
Its key is removed before the layer is made, so an interrupted layer is made again.
"""

from __future__ import annotations

import filecmp
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metamcp_deploy import atomic, events, fingerprint, resources
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import DeployError
from metamcp_deploy.release.build import checks, frontend, programs, reproducible, upstream
from metamcp_deploy.release.build.node import Node
from metamcp_deploy.release.build.toolchain import Pnpm, make_bin, ready_pnpm

_LAYERS = "layers.json"


@dataclass(frozen=True)
class Work:
    """The work folder of one project."""

    folder: Path
    use_cache: bool

    @classmethod
    def of(cls, project: Project) -> Work:
        """The project's; nothing is made yet."""
        return cls(project.build / "work", project.use_cache)

    @property
    def tree(self) -> Path:
        """The copy that is built."""
        return self.folder / "tree"

    @property
    def out(self) -> Path:
        """Scratch space for bundled programs."""
        return self.folder / "out"

    @property
    def _kept(self) -> Path:
        return resources.cache_folder() if self.use_cache else self.folder

    @property
    def home(self) -> Path:
        """HOME of the programs that install and build: upstream's scripts meet nothing of the person's there."""
        return self.folder / "home"

    def pnpm(
        self, node: Node, version: str, env: upstream.Environments
    ) -> tuple[Pnpm, upstream.Environments]:
        """The package manager, and the environments in which `node` and `pnpm` are these."""
        pnpm = ready_pnpm(node, version, self._kept / "tools", env.install)
        return pnpm, env.with_programs(make_bin(self.folder / "bin", node, pnpm))

    def dependencies(self, key: str, patched: Path, env: dict[str, str], log: Path) -> None:
        """Brings the copy up to date with the patched tree, and its dependencies with the lockfile."""
        store = self._kept / "store"

        def make() -> None:
            # pnpm refuses to go on with dependencies from another store, and keeps those of another machine.
            place = [str(store), platform.system(), platform.machine()]
            if self.recall("place") != place:
                shutil.rmtree(self.tree, ignore_errors=True)
                self.remember("place", place)
            mirror(patched, self.tree)
            events.emit(events.Progress("Installing dependencies"))
            try:
                upstream.install(self.tree, store, env, log)
            except DeployError as error:
                if error.known != upstream.STORE_BROKEN or not store.is_dir():
                    raise
                self._with_new_store(store, patched, env, log)

        self._layer("dependencies", key, self.tree / "node_modules" / ".modules.yaml", make)

    def _with_new_store(self, store: Path, patched: Path, env: dict[str, str], log: Path) -> None:
        """Installs from an empty store. The old one goes only when that succeeds: it may not have been the cause."""
        with tempfile.TemporaryDirectory(dir=store.parent, prefix=".store-") as beside:
            old = store.rename(Path(beside, "old"))
            shutil.rmtree(self.tree, ignore_errors=True)  # links to the old one
            mirror(patched, self.tree)
            try:
                upstream.install(self.tree, store, env, log)
            except DeployError:
                shutil.rmtree(store, ignore_errors=True)
                old.rename(store)
                raise
        events.emit(events.Note(f"The package store {store} was broken; made anew."))

    def built(self, key: str, patched: Path, source_maps: bool, env: dict[str, str], log: Path) -> None:
        """Runs upstream's build in a tree that holds nothing but the patched tree and its dependencies.

        The backend's sources are brought up to date in any case: the release bundles them, not what the build makes
        of them, so that they are not part of the key.
        """

        def make() -> None:
            mirror(patched, self.tree)
            reproducible.wrap(self.tree, source_maps)
            checks.leave_out_declarations(self.tree)
            events.emit(events.Progress("Building"))
            upstream.build(self.tree, env, log)
            frontend.check_built(self.tree)

        self._layer("built", key, self.tree / frontend.APP / ".next" / "standalone" / frontend.ENTRY, make)
        mirror(patched / programs.BACKEND, self.tree / programs.BACKEND)

    def recall(self, name: str) -> Any:
        """What `remember` stored under this name; None without."""
        return self._layers().get(name)

    def remember(self, name: str, value: Any) -> None:
        """Keeps a JSON value (None forgets it) until the work folder goes."""
        layers = {**self._layers(), name: value}
        atomic.write(self.folder / _LAYERS, json.dumps(layers, indent=1))

    def _layer(self, name: str, key: str, marker: Path, make: Callable[[], None]) -> None:
        if self.recall(name) == key and marker.exists():
            return
        self.remember(name, None)
        make()
        self.remember(name, key)

    def _layers(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / _LAYERS).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def dependencies_key(patched: Path, toolchain: list[str]) -> str:
    """Of what an installation depends on: lockfile, manifests, the package manager's settings, programs, machine."""
    names = ("package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc", ".pnpmfile.cjs")
    found = (p for p in resources.files_below(patched) if p.name in names or p.suffix == ".patch")
    machine = [platform.system(), platform.machine()]
    return fingerprint.of_value(
        [toolchain, machine, [[str(p), fingerprint.of_file(patched / p)] for p in found]]
    )


def built_key(patched: Path, dependencies: str, source_maps: bool) -> str:
    """Of what upstream's build makes for the release: everything but the backend, which nothing else imports."""
    backend = patched / programs.BACKEND
    around = [p for p in patched.iterdir() if p not in backend.parents]
    beside = [p for p in backend.parent.glob("*") if p != backend]
    digests = {
        p.relative_to(patched).as_posix(): fingerprint.of_tree(p) if p.is_dir() else fingerprint.of_file(p)
        for p in (*around, *beside)
    }
    return fingerprint.of_value(
        [dependencies, digests, fingerprint.of_file(reproducible.SCRIPT), source_maps]
    )


def mirror(source: Path, to: Path) -> None:
    """Makes `to` the same as `source`, except for node_modules folders in `to`; unchanged files are not touched.

    Links are copied as links. What an earlier build left is removed.
    """
    to.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for base, folders, names in os.walk(source):
        here = Path(base).relative_to(source)
        linked = [f for f in folders if Path(base, f).is_symlink()]
        folders[:] = [f for f in folders if f not in linked and f != "node_modules"]
        for name in [*folders, *names, *linked]:
            wanted.add(here / name)
            _same(source / here / name, to / here / name)
    _keep_only(wanted, to, Path())


def _keep_only(wanted: set[Path], to: Path, here: Path) -> None:
    for child in (to / here).iterdir():
        path = here / child.name
        if child.name == "node_modules" and not child.is_symlink():
            continue
        if path not in wanted:
            _remove(child)
        elif child.is_dir() and not child.is_symlink():
            _keep_only(wanted, to, path)


def _same(source: Path, to: Path) -> None:
    if source.is_symlink():
        if not (to.is_symlink() and to.readlink() == source.readlink()):
            _remove(to)
            to.symlink_to(source.readlink())
    elif source.is_dir():
        if to.is_symlink() or not to.is_dir():
            _remove(to)
            to.mkdir()
    elif to.is_symlink() or not to.is_file() or not filecmp.cmp(source, to, shallow=False):
        _remove(to)
        shutil.copy2(source, to)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
