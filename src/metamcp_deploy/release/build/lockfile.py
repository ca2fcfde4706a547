"""The packages in a release: run-time dependencies of backend and front end, as the lockfile pins them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from metamcp_deploy import resources
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import frontend, programs, prune

ROOTS = (programs.BACKEND, frontend.APP)
_LINK = "link:"


@dataclass(frozen=True)
class Package:
    """A package of the registry.

    Attributes:
        name: with its scope.
        version: exact.
        integrity: as in the lockfile, `sha512-<base64>`; empty for what has none (a git dependency).
        needs: (name, version) of what it depends on, as far as that is shipped too; sorted.
    """

    name: str
    version: str
    integrity: str
    needs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shipped:
    """`packages`, sorted by name and version, and those of them that the upstream's own code names."""

    packages: tuple[Package, ...]
    direct: tuple[tuple[str, str], ...]


def shipped(lockfile: Path) -> Shipped:
    """Reads a pnpm lockfile of version 9 and follows the production dependencies of backend and front end.

    Left out is what no release holds: packages for one system or processor (they are native code), and those that
    `prune.PACKAGES` drops, each with what only it needs.

    Raises:
        DeployError: LOCKFILE_MISMATCH, for a file that is no such lockfile.
    """
    import yaml

    try:
        lock = resources.parsed_yaml(lockfile.read_bytes())
        return _Walk(lock).shipped()
    except (yaml.YAMLError, OSError, KeyError, TypeError, AttributeError) as e:
        raise DeployError(
            Code.LOCKFILE_MISMATCH,
            f"{lockfile} cannot be read as pnpm's lockfile of version 9: {type(e).__name__} {e}.",
            hint="Pin a release of MetaMCP that builds with pnpm 9, or correct the lockfile you lay over the tree.",
        ) from e


class _Walk:
    """Follows a lockfile: a key of `snapshots` is a package with its peers, `a@1.0.0(b@2.0.0)`."""

    def __init__(self, lock: Mapping[str, Any]) -> None:
        self._importers: Mapping[str, Any] = lock["importers"]
        self._about: Mapping[str, Any] = lock.get("packages") or {}
        self._snapshots: Mapping[str, Any] = lock.get("snapshots") or {}

    def shipped(self) -> Shipped:
        direct = [key for root in ROOTS for key in self._imported(root, set())]
        found: dict[tuple[str, str], set[tuple[str, str]]] = {}
        seen: set[str] = set()
        ahead = list(direct)
        while ahead:
            if (key := ahead.pop()) in seen:
                continue
            seen.add(key)
            needs = list(self._needs(key))
            found.setdefault(_named(key), set()).update(map(_named, needs))
            ahead += needs
        packages = (
            Package(*one, self._integrity(one), tuple(sorted(needs))) for one, needs in sorted(found.items())
        )
        return Shipped(tuple(packages), tuple(sorted({_named(key) for key in direct})))

    def _imported(self, importer: str, before: set[str]) -> Iterator[str]:
        """What a package of the workspace depends on, and the packages of the workspace that it links."""
        before.add(importer)
        for name, wanted in (self._importers[importer].get("dependencies") or {}).items():
            version = wanted["version"]
            if version.startswith(_LINK):
                linked = posixpath.normpath(posixpath.join(importer, version.removeprefix(_LINK)))
                if linked not in before:
                    yield from self._imported(linked, before)
            else:
                yield from self._kept(name, version)

    def _needs(self, key: str) -> Iterator[str]:
        snapshot = self._snapshots[key] or {}
        for kind in ("dependencies", "optionalDependencies"):
            for name, version in (snapshot.get(kind) or {}).items():
                yield from self._kept(name, version)

    def _kept(self, name: str, version: str) -> Iterator[str]:
        # Under another name (`npm:` in package.json) the version is the key itself.
        key = version if version in self._snapshots else f"{name}@{version}"
        about = self._about[_plain(key)]
        dropped = any(fnmatchcase(_named(key)[0], pattern) for pattern in prune.PACKAGES)
        if not dropped and "os" not in about and "cpu" not in about:
            yield key

    def _integrity(self, package: tuple[str, str]) -> str:
        resolution = self._about["@".join(package)].get("resolution") or {}
        return str(resolution.get("integrity", ""))


def _plain(key: str) -> str:
    return key.partition("(")[0]


def _named(key: str) -> tuple[str, str]:
    name, _, version = _plain(key).rpartition("@")
    return name, version
