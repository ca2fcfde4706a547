"""`release show` and `release diff`: releases in the bundle, the cache, a folder and a workspace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from metamcp_deploy import local, resources
from metamcp_deploy.cli import boundary
from metamcp_deploy.cli import release as commands
from metamcp_deploy.config import load
from metamcp_deploy.target import session
from metamcp_deploy.target.site import root as root_of

FIRST, SECOND = "1111aaaa0000ffff", "1111bbbb0000ffff"
HOLE = {"id": "CVE-1", "severity": 9.8, "what": "a hole", "fixed": None, "here": "it is closed"}

Run = Callable[..., tuple[int, str]]


def run(*words: str) -> int:
    top = typer.Typer()
    top.add_typer(commands.app)
    return boundary.guarded(lambda: top(args=["release", *words], standalone_mode=False), words)


def written(app: Path, release: str = FIRST, *, ref: str = "v1", **more: Any) -> Path:
    """A release's own words, in the folder of its files."""
    about = {
        "format": 1,
        "id": release,
        "tool": "0.1.0",
        "upstream": {"url": None, "ref": ref, "commit": "a" * 40},
        "schema": "metamcp_app",
        "patches": [{"id": "pool", "matches": 4}, {"id": "schema", "matches": 20}],
        "overrides": [{"path": "apps/x.ts", "replaces": False}],
        "built_with": {"node": "22.16.0", "package_manager": "pnpm@9.0.0"},
        "files": {"app.yaml": {"sha256": "0" * 64, "bytes": 12}},
        "advisories": [HOLE],
        "verified": {"node": "22.16.0", "database": "PostgreSQL 16", "answered": ["/metamcp"]},
        **more,
    }
    app.mkdir(parents=True)
    (app / "release.json").write_text(json.dumps(about))
    return app


def listed(app: Path, packages: dict[str, str], files: dict[str, tuple[str, int]]) -> None:
    """Its packages (name → version) and files (path → digest, bytes)."""
    components = [
        {"group": name.rpartition("/")[0], "name": name.rpartition("/")[2], "version": version}
        for name, version in packages.items()
    ]
    (app / "sbom.cdx.json").write_text(json.dumps({"bomFormat": "CycloneDX", "components": components}))
    listing = {path: {"mode": "644", "sha256": sha, "bytes": size} for path, (sha, size) in files.items()}
    (app / "files.json").write_text(json.dumps(listing))


@pytest.fixture
def bundle(folder: Path) -> Path:
    """A release in build/bundle of the working folder."""
    app = written(folder / "build/bundle/app")
    listed(
        app,
        {"@scope/a": "1.0.0", "b": "2.0.0", "gone": "1.0.0"},
        {"same": ("a", 5), "app.js": ("b", 100), "old": ("c", 7)},
    )
    return app


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another release, in a folder of its own."""
    app = written(
        tmp_path / "other",
        SECOND,
        ref="v2",
        patches=[{"id": "pool", "matches": 5}, {"id": "new", "matches": 1}],
        advisories=[],
    )
    listed(
        app,
        {"@scope/a": "1.0.1", "b": "2.0.0", "new": "3.0.0"},
        {"same": ("a", 5), "app.js": ("d", 160), "more": ("e", 9)},
    )
    return app


@pytest.mark.usefixtures("bundle")
def test_show_tells_where_a_release_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"release {FIRST}\n")
    for words in (
        f"v1 {'a' * 40} of a local clone",
        "node 22.16.0, package_manager pnpm@9.0.0",
        "with Node 22.16.0 and PostgreSQL 16: /metamcp",
        "3 files, 0.0 MB",
        "pool (4), schema (20)",
        "apps/x.ts",
        "CVE-1 (9.8): a hole. Here it is closed.",
    ):
        assert words in out
    assert run("show", "-o", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["id"], document["packages"], document["advisories"]) == (FIRST, 3, [HOLE])


def test_the_list_of_today_is_compared_with_a_release(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = written(folder / "build/bundle/app")
    listed(app, {"next": "15.5.6", "better-auth": "1.4.2"}, {})
    assert run("advisories", "-o", "json") == 0
    found = {hole["id"]: hole for hole in json.loads(capsys.readouterr().out)["advisories"]}
    assert found["CVE-1"]["here"] == "it is closed"
    assert found["GHSA-9qr9-h5gf-34mp"]["package"] == "next@15.5.6"
    assert found["GHSA-9qr9-h5gf-34mp"]["fixed"] == "15.5.7"
    assert not found["GHSA-p6v2-xcpg-h6xw"]["here"]
    assert run("advisories") == 0
    assert "GHSA-p6v2-xcpg-h6xw (7.3) of better-auth@1.4.2: " in capsys.readouterr().out


@pytest.mark.usefixtures("bundle")
def test_show_prints_the_bill_of_materials_for_scanners(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "--sbom") == 0
    assert json.loads(capsys.readouterr().out)["bomFormat"] == "CycloneDX"


def test_a_release_that_does_not_tell_has_no_bill_of_materials(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(folder / "build/bundle/app", patches=None, files=None, verified=None)
    assert run("show") == 0
    assert capsys.readouterr().out.count("not recorded") == 4
    assert run("show", "--sbom", "-o", "json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "release_unknown"


def test_diff_names_what_changed(bundle: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", str(bundle), str(other), "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["told"] == {"ref": ["v1", "v2"]}
    assert found["patches"] == {"added": {"new": 1}, "removed": {"schema": 20}, "changed": {"pool": [4, 5]}}
    assert found["packages"] == {
        "added": {"new": ["3.0.0"]},
        "removed": {"gone": ["1.0.0"]},
        "changed": {"@scope/a": [["1.0.0"], ["1.0.1"]]},
    }
    assert found["advisories"]["removed"] == {"CVE-1": "a hole"}
    assert found["files"] == {
        "added": {"more": 9},
        "removed": {"old": 7},
        "changed": {"app.js": [100, 160]},
        "bytes": [112, 174],
    }


def test_diff_for_people(bundle: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", str(other)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{SECOND} → {FIRST}"
    for line in ("  ref: v2 → v1", "  ~ @scope/a 1.0.1 → 1.0.0", "  + CVE-1 a hole", "  ~ app.js 160 → 100"):
        assert line in lines
    assert run("diff", str(bundle)) == 0
    assert capsys.readouterr().out == f"{FIRST} runs the same as {FIRST}.\n"


def test_an_id_is_looked_for_in_the_cache(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METAMCP_CACHE_DIR", str(tmp_path / "cache"))
    written(resources.cache_folder() / "releases" / "some-key" / "app", SECOND)
    assert run("show", SECOND[:6]) == 0
    assert "cache/releases/some-key" in capsys.readouterr().out
    assert run("show", "1111", "-o", "json") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "release_unknown"
    assert f"{FIRST}, {SECOND}" in error["message"]


@pytest.mark.parametrize("wanted", ["abcd", "../x", "v2.4.22", ""])
def test_an_unknown_release(wanted: str, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", wanted, "-o", "json") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "release_unknown"
    assert str(bundle.parent) in error["message"]


def test_without_a_build(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "-o", "json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "stage_missing"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"id": 7}', '{"id": "1111aaaa0000ffff"}', '{"id": "x", "upstream": 7}']
)
def test_a_release_json_that_is_none(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = folder / "build/bundle/app"
    app.mkdir(parents=True)
    (app / "release.json").write_text(text)
    assert run("show", "-o", "json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "bundle_invalid"


@pytest.fixture
def workspace(folder: Path) -> Iterator[Path]:
    """An embedded workspace that holds the second release."""
    project = load(folder, target="local")
    connected = session.connect(project, start=True)
    path = f"{root_of(project.settings, connected.me)}/releases/{SECOND}"
    connected.files.make_folder(path)
    app = written(folder / "sent", SECOND)
    listed(app, {"b": "2.0.0"}, {"same": ("a", 5)})
    connected.files.send(path, {p.name: p for p in app.iterdir()})
    yield folder
    local.reset(project)


@pytest.mark.usefixtures("workspace")
def test_an_id_is_looked_for_in_the_targets_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", SECOND, "-t", "local", "-o", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["id"], document["packages"]) == (SECOND, 1)
    assert "/releases/" in document["where"]
    assert run("show", "0" * 16, "-t", "local", "-o", "json") == 1
    assert "target local" in json.loads(capsys.readouterr().out)["error"]["message"]
