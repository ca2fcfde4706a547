"""Turns Next's standalone output into entries of an archive: pruned, without links, static files beside the server.

pnpm's standalone output keeps packages in `node_modules/.pnpm/<id>/node_modules/<name>` and connects them by links,
which an app's source cannot contain. Each package moves to `node_modules/<name>`. If two versions share a name, the one
with more dependents gets that place, and the other nests below the packages that need it, as Node resolves packages.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.archive import Entry
from metamcp_deploy.release.build import loading, prune

APP = "apps/frontend"
ENTRY = f"{APP}/server.js"

Found = tuple[Path, str]  # a file, and its path in the archive


@dataclass
class Package:
    """A package of the store: its real folder, and what it may require: name → real folder."""

    name: str
    folder: Path
    needs: dict[str, Path] = field(default_factory=dict)


def check_built(tree: Path) -> None:
    """Whether upstream's build left what a release is made from.

    Raises:
        DeployError: BUILD_FAILED, naming the file that is missing.
    """
    built = tree / APP / ".next"
    manifests = ("BUILD_ID", "routes-manifest.json", "required-server-files.json")
    for path in (built / "standalone" / ENTRY, *(built / name for name in manifests)):
        if not path.is_file():
            raise DeployError(
                Code.BUILD_FAILED,
                f"The build left no {path}.",
                hint='next.config.js must say `output: "standalone"`; see your overrides and patches.',
            )


@dataclass
class LeftOut:
    """What was not taken: reason → how many files, of how many bytes."""

    files: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, path: Path) -> None:
        """Counts one file."""
        self.files[reason] += 1
        self.bytes[reason] += path.lstat().st_size

    def as_list(self) -> list[dict[str, str | int]]:
        """For release.json: the most bytes first."""
        reasons = sorted(self.files, key=lambda reason: (-self.bytes[reason], reason))
        return [{"what": r, "files": self.files[r], "bytes": self.bytes[r]} for r in reasons]


def entries(tree: Path, left: LeftOut, source_maps: bool = False) -> Iterator[Entry]:
    """All files of the front end's part, from a built tree.

    Args:
        tree: built.
        left: records what is left out.
        source_maps: take those of the compiled pages.

    Raises:
        DeployError: BUNDLE_INVALID, for a link that leads out of the output.
    """
    built = tree / APP / ".next"
    standalone = built / "standalone"
    found = (
        *_own_files(standalone),
        *_placed(standalone, left),
        *_copied(built / "static", f"{APP}/.next/static"),
        *_copied(tree / APP / "public", f"{APP}/public"),
    )
    loaded = loading.always({at: path for path, at in found}, ENTRY, f"{APP}/.next/server")
    if source_maps:
        loaded |= {f"{at}.map" for at in loaded if at.startswith(f"{APP}/.next/server/")}
    for path, at in found:
        if at not in loaded and (reason := prune.reason(at)):
            left.add(reason, path)
        else:
            yield Entry(at, path.read_bytes())
    yield Entry(
        f"{APP}/.next/static/health.js", b"// Served when somebody asks whether the front end answers.\n"
    )


def _own_files(standalone: Path) -> Iterator[Found]:
    """Everything that is no package of the store."""
    for path in _files(standalone, ".pnpm"):
        yield path, path.relative_to(standalone).as_posix()


def _placed(standalone: Path, left: LeftOut) -> Iterator[Found]:
    packages, roots = _graph(standalone, left)
    reachable = _reachable(packages, list(roots.values()))
    for unneeded in sorted(packages.keys() - set(reachable)):
        for path in _files(unneeded, "node_modules"):
            left.add("packages that only what is left out needs", path)
    hoisted = _hoisted([packages[f] for f in reachable], roots)
    for location, target in roots.items():
        name = _name(Path(location))
        if hoisted.get(name) != target and target in packages:
            yield from _nested(packages, hoisted, target, location, ())
    for name, folder in sorted(hoisted.items()):
        yield from _nested(packages, hoisted, folder, f"node_modules/{name}", ())


def _nested(
    packages: dict[Path, Package], hoisted: dict[str, Path], folder: Path, at: str, above: tuple[Path, ...]
) -> Iterator[Found]:
    """A package's files at a place, and below it those it needs that are not the hoisted ones of their name."""
    yield from _copied(folder, at)
    for name, need in sorted(packages[folder].needs.items()):
        if hoisted.get(name) != need and need not in above and need != folder:
            yield from _nested(packages, hoisted, need, f"{at}/node_modules/{name}", (*above, folder))


def _graph(standalone: Path, left: LeftOut) -> tuple[dict[Path, Package], dict[str, Path]]:
    """Packages by real folder, and the roots: path of a link (in the output) → the real folder it leads to."""
    packages: dict[Path, Package] = {}
    roots: dict[str, Path] = {}
    for place in sorted(standalone.rglob("node_modules")):
        if place.is_symlink() or not place.is_dir():
            continue
        inside = ".pnpm" in place.relative_to(standalone).parts
        found = list(_children(place))
        owner = next((p for p in found if inside and not p.is_symlink()), None)
        found = [p for p in found if not prune.package_reason(_name(p))]
        if owner is not None and (reason := prune.package_reason(_name(owner))):
            for path in _files(owner, "node_modules"):
                left.add(reason, path)
            continue
        if owner is not None:
            packages[owner.resolve()] = Package(_name(owner), owner.resolve())
        for link in (p for p in found if p.is_symlink()):
            target = _target(link, standalone)
            if owner is not None:
                packages[owner.resolve()].needs[_name(link)] = target
            else:
                # `.pnpm/node_modules/x` is pnpm's hoisting for packages that do not name what they require.
                roots[link.relative_to(standalone).as_posix()] = target
    for package in packages.values():
        package.needs = {n: t for n, t in package.needs.items() if t in packages}
    return packages, {link: target for link, target in roots.items() if target in packages}


def _children(place: Path) -> Iterator[Path]:
    for child in sorted(place.iterdir()):
        if child.name.startswith("@") and not child.is_symlink():
            yield from sorted(child.iterdir())
        elif child.is_dir() and not child.name.startswith("."):
            yield child


def _name(package: Path) -> str:
    return f"{package.parent.name}/{package.name}" if package.parent.name.startswith("@") else package.name


def _target(link: Path, standalone: Path) -> Path:
    target = link.resolve()
    if not target.is_relative_to(standalone.resolve()):
        raise DeployError(
            Code.BUNDLE_INVALID,
            f"{link} leads to {target}, out of Next's standalone output.",
            hint="`metamcp-deploy build --clean` builds from nothing; if it stays, report it.",
        )
    return target


def _reachable(packages: dict[Path, Package], start: list[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    while start:
        folder = start.pop()
        if folder in packages and folder not in found:
            found[folder] = None
            start.extend(packages[folder].needs.values())
    return list(found)


def _hoisted(packages: list[Package], roots: dict[str, Path]) -> dict[str, Path]:
    """Which package of each name goes to the top: the one most depend on, then the first by folder."""
    wanted = Counter(need for p in packages for need in p.needs.values())
    wanted.update(roots.values())
    chosen: dict[str, Path] = {}
    for package in sorted(packages, key=lambda p: (-wanted[p.folder], p.folder.as_posix())):
        chosen.setdefault(package.name, package.folder)
    return chosen


def _copied(folder: Path, to: str) -> Iterator[Found]:
    """The files below a folder, without what is in a node_modules of its own."""
    for path in _files(folder, "node_modules"):
        yield path, f"{to}/{path.relative_to(folder).as_posix()}"


def _files(folder: Path, without: str) -> Iterator[Path]:
    """Files below a folder, without links and without what is in folders of one name."""
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f != without)
        for name in sorted(names):
            if not (path := Path(base, name)).is_symlink():
                yield path
