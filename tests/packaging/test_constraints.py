"""constraints.txt, which the scripts install with: exact, without addresses, and what pyproject.toml allows."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.lstrip().startswith("#")
]


def test_each_is_an_exact_version_without_an_address() -> None:
    for line in LINES:
        requirement = Requirement(line)
        assert [s.operator for s in requirement.specifier] == ["=="], line
        assert requirement.url is None, line
    assert "://" not in "\n".join(LINES)


def test_each_dependency_has_one_that_pyproject_allows() -> None:
    locked = {canonicalize_name(r.name): next(iter(r.specifier)).version for r in map(Requirement, LINES)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for wanted in map(Requirement, [*project["dependencies"], *extras["local"], *extras["dev"]]):
        if wanted.name != project["name"]:
            assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), (
                f"{wanted}: scripts/lock"
            )
