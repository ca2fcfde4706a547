"""The metadata of a release: where it comes from, how it was changed, every file in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from metamcp_deploy import fingerprint
from metamcp_deploy.release import identity, sbom
from metamcp_deploy.release.build import lockfile
from metamcp_deploy.release.build.assembly import Release

LISTING = "files.json"
_SELF = "release.json"


def public(url: str) -> str | None:
    """An upstream's URL for publication: without a user; None for a path on the builder's machine."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.hostname:
        host = parts.hostname + (f":{parts.port}" if parts.port else "")
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    return None if url.startswith("/") or parts.scheme == "file" else url


def provenance(
    prepared: Mapping[str, Any], patched: Mapping[str, Any], node: str, pnpm: str
) -> dict[str, Any]:
    """What the stages recorded of a release: `patches`, `overrides`, `built_with`, `advisories`.

    Args:
        prepared: facts of `prepare`.
        patched: facts of `patch`.
        node: version that builds.
        pnpm: version that installs.
    """
    replaced = set(patched.get("replaced", []))
    return {
        "patches": [{"id": p["id"], "matches": p["matches"]} for p in patched.get("patches", [])],
        "overrides": [{"path": p, "replaces": p in replaced} for p in patched.get("overrides", [])],
        "built_with": {"node": node, "package_manager": f"pnpm@{pnpm}"},
        "advisories": prepared.get("advisories", []),
    }


def complete(app: Path, release: Release, more: Mapping[str, Any], tree: Path) -> None:
    """Adds to a written release its bill of materials and the list of its files, and more to release.json.

    Args:
        app: the release's files.
        release: what is in them.
        more: as `provenance` returns it.
        tree: built, with its dependencies.

    Raises:
        DeployError: LOCKFILE_MISMATCH.
    """
    about = json.loads((app / _SELF).read_text())
    packages = lockfile.shipped(tree / "pnpm-lock.yaml")
    (app / sbom.NAME).write_text(sbom.of_release(packages, tree, release.id, about["upstream"]))
    (app / LISTING).write_text(_listing(release))
    files = {p.name: _described(p.read_bytes()) for p in sorted(app.iterdir()) if p.name != _SELF}
    (app / _SELF).write_text(json.dumps({**about, **more, "files": files}, indent=1) + "\n")


def _listing(release: Release) -> str:
    """Everything the release's id is computed from, one line for each file: path, mode, digest and size."""
    lines = [
        f" {json.dumps(path)}: {json.dumps({'mode': mode, **_described(content)})}"
        for path, (mode, content) in identity.lines(release.run, release.about).items()
    ]
    return "{\n" + ",\n".join(sorted(lines)) + "\n}\n"


def _described(content: bytes) -> dict[str, Any]:
    return {"sha256": fingerprint.of_bytes(content), "bytes": len(content)}
