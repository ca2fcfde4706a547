"""What is known of the upstream's releases (advisories.yaml), and what of it applies to a pin."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from metamcp_deploy import events, resources
from metamcp_deploy.upstream import packages

DATA = Path(__file__).with_suffix(".yaml")
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Hole:
    """A known hole: its CVSS score where known, the first release without it, and what this tool does about it.

    `package` is empty for a hole of the upstream itself; else `name@version`, and `fixed` is a version of it. `here` is
    empty where this tool does nothing about it.
    """

    id: str
    severity: float | None
    what: str
    fixed: str | None
    here: str
    package: str = ""


def release_of(ref: str, commit: str | None = None) -> str | None:
    """The tag that a pin is, by name (`v2.4.22`, `refs/tags/2.4.22`) or by commit; None for anything else."""
    if commit is not None and (tag := _tags().get(commit)):
        return tag
    name = re.sub(r"^refs/(tags|heads)/", "", ref)
    return f"v{name.removeprefix('v')}" if _VERSION.match(name) else None


def refusal(ref: str, commit: str | None = None) -> str | None:
    """Why a pin cannot be deployed, to go after its name; None when it can."""
    release = release_of(ref, commit)
    found = (r["why"] for r in _data()["refused"] if release and _is(release, r["names"]))
    return next(found, None)


def abandoned(ref: str, commit: str | None = None) -> str | None:
    """Why a pin that can be deployed should not be, to go after its name; None otherwise."""
    release, line = release_of(ref, commit), _data()["abandoned"]
    return str(line["why"]) if release and _is(release, line["names"]) else None


def holes(package: str | None, ref: str, commit: str) -> list[Hole]:
    """The known holes of a pin.

    A branch or a commit that is no release counts as later than every release known here: it has what no release has
    fixed. The abandoned line has everything.

    Args:
        package: `name` in the tree's package.json.
        ref: as pinned.
        commit: what it stands for.
    """
    data = _data()
    if package != data["package"]:
        return []
    release = release_of(ref, commit)
    left = abandoned(ref, commit) is not None
    return [
        Hole(name, severity, hole["what"], hole["fixed"], hole["here"])
        for hole in data["holes"]
        if hole["fixed"] is None or left or _between(release, hole["from"], hole["fixed"])
        for name, severity in hole["ids"].items()
    ]


def of_tree(tree: Path, ref: str, commit: str) -> list[Hole]:
    """The same for a checkout of the pin."""
    return [*holes(_package(tree), ref, commit), *of_packages(tree)]


def known_commit(tree: Path, ref: str, commit: str) -> str | None:
    """The commit that the release of this name is known as; None where it is this one, or no release."""
    known = _data()["releases"].get(release_of(ref)) if _package(tree) == _data()["package"] else None
    return None if known in (None, commit) else str(known)


def _package(tree: Path) -> Any:
    try:
        return json.loads((tree / "package.json").read_text()).get("name")
    except (OSError, ValueError, AttributeError):
        return None


def of_packages(tree: Path) -> list[Hole]:
    """The known vulnerabilities of the packages in a tree's lockfile, the worst first."""
    return _of_versions(packages.versions(tree / "pnpm-lock.yaml"))


def again(facts: Sequence[Mapping[str, Any]], installed: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """What a release recorded, with its packages (name → versions) compared with the list of today."""
    own = [{"package": "", **hole} for hole in facts if not hole.get("package")]
    return [*own, *as_facts(_of_versions([(name, v) for name, vs in installed.items() for v in vs]))]


def _of_versions(installed: Sequence[tuple[str, str]]) -> list[Hole]:
    closed = _data()["closed"]
    found = [
        Hole(
            entry["id"],
            packages.score(entry),
            str(entry.get("summary") or "see its page"),
            packages.fixed(entry, name, version),
            str(closed.get(entry["id"], "")),
            f"{name}@{version}",
        )
        for name, version, entry in packages.affected(installed)
    ]
    return sorted(found, key=lambda hole: (-(hole.severity or 0), hole.id, hole.package))


def told(hole: Mapping[str, Any]) -> str:
    """One hole in a line, from facts."""
    package = f" of {hole['package']}" if hole.get("package") else ""
    score = f" ({hole['severity']})" if hole.get("severity") else ""
    here = f"Here {hole['here']}" if hole["here"] else f"Nothing here closes it; {_fixed(hole['fixed'])}"
    return f"{hole['id']}{score}{package}: {hole['what']}. {here}."


def _fixed(version: str | None) -> str:
    return f"fixed in {version}" if version else "no fixed release known"


def warning(found: Sequence[Hole], ref: str) -> events.Warned | None:
    """One warning for all known vulnerabilities of a pin; None without any."""
    if not found:
        return None
    own = [hole for hole in found if not hole.package]
    more = [hole for hole in found if hole.package]
    return events.Warned(
        " ".join([f"{ref} has known holes.", *_sentences(own), *_of_packages(more)]),
        "They stand in the release too: metamcp-deploy release show",
    )


def note(found: Sequence[Mapping[str, Any]], ref: str) -> events.Note | None:
    """The same in one line, from facts."""
    if not found:
        return None
    named = ", ".join(hole["id"] for hole in found)
    done = "; ".join(dict.fromkeys(str(hole["here"]) for hole in found if hole["here"]))
    left = ", ".join(f"{hole['id']} ({hole['package']})" for hole in found if not hole["here"])
    rest = f" Nothing here closes {left}." if left else ""
    return events.Note(f"known holes of {ref}: {named}. Here {done or 'nothing is done about them'}.{rest}")


def as_facts(found: Sequence[Hole]) -> list[dict[str, Any]]:
    """Holes as JSON, for facts and release.json."""
    return [asdict(hole) for hole in found]


def _of_packages(found: Sequence[Hole]) -> list[str]:
    """Two sentences: those that something here closes, by number; and the others, by name."""
    closed, left = ([hole for hole in found if bool(hole.here) is shut] for shut in (True, False))
    names = ", ".join(dict.fromkeys(hole.package for hole in closed))
    said = [f"{len(closed)} more are in {names}; what is done here closes them."] if closed else []
    listed = "; ".join(f"{_named(h)} of {h.package}: {h.what}, {_fixed(h.fixed)}" for h in left)
    return [*said, f"Nothing here closes {listed}."] if left else said


def _sentences(found: Sequence[Hole]) -> list[str]:
    groups: dict[str, list[Hole]] = {}
    for hole in found:
        groups.setdefault(f"{hole.what} ({_fixed(hole.fixed)}). Here {hole.here}.", []).append(hole)
    return [f"{' and '.join(_named(hole) for hole in group)}: {rest}" for rest, group in groups.items()]


def _named(hole: Hole) -> str:
    return f"{hole.id} ({hole.severity})" if hole.severity else hole.id


def _is(release: str, names: str) -> bool:
    return re.fullmatch(names, release.removeprefix("v")) is not None


def _between(release: str | None, first: str, fixed: str) -> bool:
    return release is not None and _number(first) <= _number(release) < _number(fixed)


def _number(release: str) -> tuple[int, ...]:
    found = _VERSION.match(release)
    return tuple(int(n or 0) for n in found.groups()) if found else ()


@cache
def _tags() -> dict[str, str]:
    return {commit: tag for tag, commit in _data()["releases"].items()}


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = resources.parsed_yaml(DATA.read_text())
    return data
