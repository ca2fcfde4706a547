"""What changed from one release to another, by the description of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metamcp_deploy.release.description import Description

# Label → where release.json has it.
_STATED: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "url": lambda about: about["upstream"]["url"],
    "ref": lambda about: about["upstream"]["ref"],
    "commit": lambda about: about["upstream"]["commit"],
    "tool": lambda about: about.get("tool"),
    "schema": lambda about: about.get("schema"),
    "node": lambda about: about.get("built_with", {}).get("node"),
    "package_manager": lambda about: about.get("built_with", {}).get("package_manager"),
}


def between(before: Description, after: Description) -> dict[str, Any]:
    """The differences as JSON.

    Returns:
        `before`, `after` (ids), `told`: label → [before, after]; and `patches` (match counts), `overrides`,
        `advisories`, `packages` (versions), `files` (bytes): each `added`, `removed` (name → value) and `changed`
        (name → [before, after]); None for what one of the two does not state.
    """
    stated = {label: [of(before.about), of(after.about)] for label, of in _STATED.items()}
    return {
        "before": before.id,
        "after": after.id,
        "told": {label: values for label, values in stated.items() if values[0] != values[1]},
        "patches": _compared(*(_listed(a, "patches", "id", "matches") for a in (before, after))),
        "overrides": _compared(*(_listed(a, "overrides", "path", "replaces") for a in (before, after))),
        "advisories": _compared(*(_listed(a, "advisories", "id", "what") for a in (before, after))),
        "packages": _compared(before.packages, after.packages),
        "files": _files(before, after),
    }


def _listed(description: Description, section: str, key: str, value: str) -> dict[str, Any] | None:
    rows = description.about.get(section)
    return None if rows is None else {row[key]: row[value] for row in rows}


def _files(before: Description, after: Description) -> dict[str, Any] | None:
    """Compared by content, reported as sizes."""
    if before.listing is None or after.listing is None:
        return None
    found = _compared(before.listing, after.listing)
    assert found is not None  # noqa: S101 -- both are there
    return {
        "added": {path: f["bytes"] for path, f in found["added"].items()},
        "removed": {path: f["bytes"] for path, f in found["removed"].items()},
        "changed": {path: [a["bytes"], b["bytes"]] for path, (a, b) in found["changed"].items()},
        "bytes": [sum(f["bytes"] for f in listing.values()) for listing in (before.listing, after.listing)],
    }


def _compared(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if before is None or after is None:
        return None
    return {
        "added": {name: value for name, value in after.items() if name not in before},
        "removed": {name: value for name, value in before.items() if name not in after},
        "changed": {
            name: [before[name], value]
            for name, value in after.items()
            if name in before and before[name] != value
        },
    }
