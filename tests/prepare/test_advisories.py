"""What is known of the upstream's releases, and which of it applies to a pin."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import resources
from metamcp_deploy.upstream import advisories

A = "a" * 40
NEWEST = "32b6e9813acfc13d1013eb2452be1899d6654bb9"
SIDE = "83506672f355625d00bf3e0d10cd821f1ba955e4"
CVES = ["CVE-2026-79538", "CVE-2026-79537"]
HOLES = [*CVES, "outside-search"]


def ids(ref: str, commit: str = A, package: str | None = "metamcp") -> list[str]:
    return [hole.id for hole in advisories.holes(package, ref, commit)]


@pytest.mark.parametrize(
    ("ref", "commit"),
    [("v2.4.22", NEWEST), (NEWEST, NEWEST), ("v2.0.4", A), ("main", A), (A, A), ("v2.5.0", SIDE)],
)
def test_holes_that_no_release_fixes_apply_to_every_pin(ref: str, commit: str) -> None:
    assert ids(ref, commit) == HOLES


@pytest.mark.parametrize("package", ["metamcp-sample", None])
def test_another_program_has_none_of_them(package: str | None) -> None:
    assert ids("v2.4.22", NEWEST, package) == []


def test_a_tree_without_a_package_json_is_another_program(tmp_path: Path) -> None:
    assert advisories.of_tree(tmp_path, "v2.4.22", NEWEST) == []
    (tmp_path / "package.json").write_text('{"name": "metamcp"}')
    assert [hole.id for hole in advisories.of_tree(tmp_path, "v2.4.22", NEWEST)] == HOLES


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day on which v2.4.23 has come out with a fix."""
    known: dict[str, Any] = {**advisories._data()}
    known["holes"] = [{**known["holes"][0], "fixed": "v2.4.23"}]
    monkeypatch.setattr(advisories, "_data", lambda: known)


@pytest.mark.usefixtures("fixed")
@pytest.mark.parametrize(
    ("ref", "commit", "applies"),
    [
        ("v2.4.22", A, True),
        ("2.4.9", A, True),
        (NEWEST, NEWEST, True),
        ("v2.4.23", A, False),
        ("v2.10.0", A, False),
        ("v2.5.0", A, True),  # the abandoned line never got it, whatever its number
        (SIDE, SIDE, True),
        ("main", A, False),
    ],
)
def test_a_fixed_hole_applies_to_earlier_releases_and_to_the_abandoned_line(
    ref: str, commit: str, applies: bool
) -> None:
    assert ids(ref, commit) == (CVES if applies else [])


@pytest.mark.parametrize(
    ("ref", "commit", "release"),
    [
        ("v2.4.22", None, "v2.4.22"),
        ("refs/tags/2.4.22", None, "v2.4.22"),
        (NEWEST, NEWEST, "v2.4.22"),
        ("main", A, None),
        ("sample-v1", A, None),
    ],
)
def test_the_release_of_a_pin(ref: str, commit: str | None, release: str | None) -> None:
    assert advisories.release_of(ref, commit) == release


def test_what_is_told_names_every_hole_and_what_is_done() -> None:
    found = advisories.holes("metamcp", "v2.4.22", NEWEST)
    warned = advisories.warning(found, "v2.4.22")
    assert warned is not None
    assert warned.text.startswith("v2.4.22 has known holes. CVE-2026-79538 (9.8) and CVE-2026-79537: any")
    assert "(no fixed release known)" in warned.text
    assert warned.text.count("Here ") == 2
    noted = advisories.note(advisories.as_facts(found), "v2.4.22")
    assert noted is not None
    assert noted.text.startswith(
        "known holes of v2.4.22: CVE-2026-79538, CVE-2026-79537, outside-search. Here the"
    )
    assert advisories.warning([], "v2.4.22") is None
    assert advisories.note([], "v2.4.22") is None


def test_the_settings_that_the_list_names_exist() -> None:
    template = (resources.shipped("templates") / "init/metamcp.yaml").read_text()
    for hole in advisories._data()["holes"]:
        for name in re.findall(r"`app\.(\w+)`", hole["here"]):
            assert re.search(rf"^  #?{name}:", template, re.MULTILINE), name


def test_the_list_knows_the_commits_of_the_upstreams_tags(test_upstream: Path) -> None:
    git = ["git", f"--git-dir={test_upstream}", "for-each-ref", "refs/tags/v2*"]
    told = subprocess.run(
        [*git, "--format=%(refname:short) %(*objectname)"], capture_output=True, text=True, check=True
    )
    tags = dict(line.split() for line in told.stdout.splitlines())
    assert advisories._data()["releases"].items() <= tags.items()
