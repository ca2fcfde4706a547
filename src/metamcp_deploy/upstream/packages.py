"""Known vulnerabilities of the packages that a lockfile names, from a list in OSV's format.

The list is `osv.json` beside this file: of the packages that take requests. `release advisories --update` fetches a
newer one into the user's cache, which then counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy import atomic, events, resources
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    import requests

SHIPPED = Path(__file__).with_name("osv.json")
API = "https://api.osv.dev/v1/query"
_KEY = re.compile(r"^  '?((?:@[^/'\s]+/)?[^@'\s]+)@([^:'(\s]+)'?:", re.MULTILINE)
_LEVELS = {"LOW": 3.9, "MODERATE": 6.9, "HIGH": 8.9, "CRITICAL": 10.0}


def refreshed() -> Path:
    """Where a fetched list is kept."""
    return resources.cache_path() / "advisories" / "osv.json"


def known() -> list[dict[str, Any]]:
    """The list: the fetched one, where there is one that can be read, else the shipped one."""
    for path in (refreshed(), SHIPPED):
        try:
            found: list[dict[str, Any]] = json.loads(path.read_bytes())
            return found
        except (OSError, ValueError):
            continue
    return []


def versions(lockfile: Path) -> list[tuple[str, str]]:
    """(name, version) of the packages of a pnpm lockfile; none for a file that is none."""
    try:
        text = lockfile.read_text(encoding="utf-8").partition("\npackages:")[2].partition("\nsnapshots:")[0]
    except (OSError, ValueError):
        return []
    return sorted(set(_KEY.findall(text)))


def affected(installed: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, version, entry of the list) for each package, by name and version, that a known vulnerability is in."""
    listed = known()
    for name, version in installed:
        for entry in listed:
            if any(_within(one, name, version) for one in entry.get("affected", [])):
                yield name, version, entry


def score(entry: Mapping[str, Any]) -> float | None:
    """CVSS: as the list has it, else the top of its level."""
    about = entry.get("database_specific") or {}
    return about.get("score") or _LEVELS.get(str(about.get("severity")))


def fixed(entry: Mapping[str, Any], name: str, version: str) -> str | None:
    """The version that ends the range that a version is in."""
    found = (r for one in entry["affected"] if one["package"]["name"] == name for r in _ranges(one))
    within = (end for start, end in found if end and _number(start) <= _number(version) < _number(end))
    return next(within, None)


def update(session: requests.Session) -> None:
    """Fetches what OSV knows of the listed packages; the list stays as it was when that fails.

    Raises:
        DeployError: UPSTREAM_UNREACHABLE.
    """
    from requests.exceptions import RequestException

    names = {
        one["package"]["name"] for entry in json.loads(SHIPPED.read_bytes()) for one in entry["affected"]
    }
    try:
        found = {entry["id"]: entry for name in sorted(names) for entry in _asked(session, name)}
    except (RequestException, ValueError) as e:
        raise DeployError(
            Code.UPSTREAM_UNREACHABLE,
            f"The known vulnerabilities cannot be fetched from {API}: {type(e).__name__}.",
            hint="Check the network; behind a proxy, set `network.proxy` in metamcp.yaml. Without --update the list "
            "that is here counts: metamcp-deploy release advisories",
        ) from e
    resources.cache_folder()
    atomic.write(refreshed(), json.dumps(list(found.values())))
    events.emit(
        events.Note(f"{len(found)} known vulnerabilities of {len(names)} packages; now in {refreshed()}")
    )


def _asked(session: requests.Session, name: str) -> Iterator[dict[str, Any]]:
    asked: dict[str, Any] = {"package": {"name": name, "ecosystem": "npm"}}
    while True:
        answer = session.post(API, json=asked, timeout=(5, 30))
        answer.raise_for_status()
        page = answer.json()
        yield from (entry for entry in page.get("vulns", []) if not entry.get("withdrawn"))
        if not (token := page.get("next_page_token")):
            return
        asked["page_token"] = token


def _within(one: Mapping[str, Any], name: str, version: str) -> bool:
    package = one.get("package") or {}
    if (package.get("ecosystem"), package.get("name")) != ("npm", name):
        return False
    number = _number(version)
    return version in one.get("versions", []) or any(
        _number(start) <= number and (end is None or number < _number(end)) for start, end in _ranges(one)
    )


def _ranges(one: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """(introduced, fixed) pairs; `last_affected` ends a range behind itself."""
    for listed in one.get("ranges", []):
        start: str | None = None
        for event in listed["events"] if listed.get("type") == "SEMVER" else []:
            if "introduced" in event:
                start = event["introduced"]
            elif start is not None:
                yield start, event.get("fixed") or f"{event.get('last_affected', '0')}.1"
                start = None
        if start is not None:
            yield start, None


def _number(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[int, int | str], ...]]:
    """Sorts as semantic versions do: a pre-release is before its release."""
    plain, _, before = version.partition("+")[0].partition("-")
    numbers = tuple(int(part) if part.isdigit() else 0 for part in plain.split("."))
    words = tuple((0, int(w)) if w.isdigit() else (1, w) for w in before.split(".")) if before else ()
    return (*numbers, *(0,) * (3 - len(numbers))), not before, words
