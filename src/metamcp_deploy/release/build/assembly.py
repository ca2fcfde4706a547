"""Assembles a release from a built tree: parts, archives, release.json, and the release's id."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metamcp_deploy import __version__, fingerprint
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import archive, identity
from metamcp_deploy.release.archive import Entry
from metamcp_deploy.release.build import frontend, reproducible, routes, sourcemaps

_DRIZZLE = Path("apps/backend/drizzle")

_BACKEND = ("index.mjs", "index.mjs.map", "preload.mjs")
ENTRIES = {"backend": "index.mjs", "frontend": frontend.ENTRY, "migrations": "migrate.mjs"}


@dataclass(frozen=True)
class Origin:
    """What a release is made from: facts of the upstream and the schema its tables live in."""

    url: str | None  # None: a clone on the builder's machine
    ref: str
    commit: str
    schema: str
    patched: str  # digest of the patched tree
    source_maps: bool  # whether it carries those of its services
    provenance: Mapping[str, Any] = field(default_factory=dict)  # more for release.json, see `metadata`


@dataclass(frozen=True)
class Release:
    """A release in memory: its parts' entries, its own files (app.yaml, start.mjs), release.json without packing."""

    parts: Mapping[str, list[Entry]]
    own: list[Entry]
    about: dict[str, Any]

    @property
    def id(self) -> str:
        """The release's id."""
        return str(self.about["id"])

    @property
    def run(self) -> Mapping[str, list[Entry]]:
        """All that it runs, by the folder it unpacks to."""
        return {**self.parts, "": self.own}


def assemble(tree: Path, programs: Mapping[str, bytes], app_yaml: str, origin: Origin) -> Release:
    """Collects what a release runs from a built tree.

    Args:
        tree: built.
        programs: index.mjs, preload.mjs, migrate.mjs, start.mjs; with source maps index.mjs.map.
        app_yaml: rendered.
        origin: what the tree was made from.

    Raises:
        DeployError: BUNDLE_INVALID or BUILD_FAILED, naming the file.
    """
    canonical = reproducible.Canonical.of(tree, fingerprint.of_value([origin.commit, origin.patched])[:21])
    left_out = frontend.LeftOut()
    pages = sourcemaps.of_pages(frontend.entries(tree, left_out, origin.source_maps), frontend.APP)
    parts = {
        "backend": [Entry(n, programs[n]) for n in _BACKEND if n in programs],
        "frontend": list(canonical.entries(pages)),
        "migrations": [Entry("migrate.mjs", programs["migrate.mjs"]), *_migrations(tree / _DRIZZLE)],
    }
    for part, entries in parts.items():
        archive.check(part, entries)
    own = [Entry("app.yaml", app_yaml.encode()), Entry("start.mjs", programs["start.mjs"])]
    described: dict[str, dict[str, Any]] = {
        name: {"file": f"{name}.tar.gz", "entry": entry} for name, entry in ENTRIES.items()
    }
    described["frontend"]["keys"] = reproducible.placeholders_in(parts["frontend"])
    described["migrations"]["journal"] = _journal(parts["migrations"])
    about = {
        "format": identity.FORMAT,
        "tool": __version__,
        "upstream": {"url": origin.url, "ref": origin.ref, "commit": origin.commit},
        "schema": origin.schema,
        "source_maps": origin.source_maps,
        "routes": routes.of_build(tree / frontend.APP / ".next"),
        "parts": described,
        "left_out": left_out.as_list(),
    }
    return Release(parts, own, {"id": identity.of({**parts, "": own}, about), **about})


def write(release: Release, app: Path) -> None:
    """Writes the release's files into an empty folder.

    Raises:
        DeployError: BUNDLE_INVALID, for a file that is too big.
    """
    for entry in release.own:
        (app / entry.path).write_bytes(entry.content)
    with ThreadPoolExecutor(min(3, os.cpu_count() or 1)) as pool:
        packed = dict(zip(release.parts, pool.map(archive.pack, release.parts.values()), strict=True))
    described = {}
    for part, content in packed.items():
        path = app / f"{part}.tar.gz"
        path.write_bytes(content)
        archive.check_size(path, release.parts[part])
        sizes = {"sha256": fingerprint.of_bytes(content), "bytes": len(content)}
        described[part] = {**release.about["parts"][part], **sizes}
    (app / identity.ABOUT).write_text(json.dumps({**release.about, "parts": described}, indent=1) + "\n")
    for entry in release.own:
        archive.check_size(app / entry.path, [entry])


def _migrations(folder: Path) -> Iterator[Entry]:
    """SQL and journal; snapshots are for `drizzle-kit generate` only."""
    journal = folder / "meta" / "_journal.json"
    try:
        tags = [str(e["tag"]) for e in json.loads(journal.read_text())["entries"]]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise _migration_error(f"{journal} cannot be read: {e}") from e
    for tag in tags:
        if not (folder / f"{tag}.sql").is_file():
            raise _migration_error(f"{journal} names {tag}, but {folder / tag}.sql is missing")
    for path in sorted(folder.glob("*.sql")):
        yield Entry(f"drizzle/{path.name}", path.read_bytes())
    yield Entry("drizzle/meta/_journal.json", journal.read_bytes())


def _journal(entries: list[Entry]) -> list[str]:
    """Names of the migrations in their order, for those who compare releases without unpacking them."""
    content = next(e.content for e in entries if e.path == "drizzle/meta/_journal.json")
    return [str(entry["tag"]) for entry in json.loads(content)["entries"]]


def _migration_error(what: str) -> DeployError:
    return DeployError(
        Code.BUNDLE_INVALID,
        f"{what}; the database could not be migrated.",
        hint="`metamcp-deploy patch` makes the tree anew; see `overrides/` if you replace migrations.",
    )
