"""What a release tells of itself: release.json, the list of its files, and its bill of materials."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import metadata, sbom
from metamcp_deploy.release.build import lockfile

LOCK = """
lockfileVersion: '9.0'
importers:
  apps/backend:
    dependencies:
      '@scope/a': {specifier: ^1.0.0, version: 1.0.0(peer@2.0.0)}
      '@repo/own': {specifier: 'workspace:*', version: link:../../packages/own}
    devDependencies:
      only-dev: {specifier: '*', version: 9.0.0}
  apps/frontend:
    dependencies:
      '@scope/a': {specifier: ^1.0.0, version: 1.0.0}
      other-name: {specifier: 'npm:real@3.0.0', version: real@3.0.0}
  packages/own:
    dependencies:
      inner: {specifier: '*', version: 4.0.0}
packages:
  '@scope/a@1.0.0': {resolution: {integrity: sha512-AAAA}}
  peer@2.0.0: {resolution: {integrity: sha512-BBBB}}
  real@3.0.0: {resolution: {tarball: 'https://example.com/real.tgz'}}
  inner@4.0.0: {resolution: {integrity: sha512-CCCC}}
  only-dev@9.0.0: {resolution: {integrity: sha512-DDDD}}
  native@1.0.0: {resolution: {integrity: sha512-EEEE}, os: [linux]}
  sharp@1.0.0: {resolution: {integrity: sha512-FFFF}}
  of-sharp@1.0.0: {resolution: {integrity: sha512-FFFF}}
snapshots:
  '@scope/a@1.0.0': {dependencies: {inner: 4.0.0}}
  '@scope/a@1.0.0(peer@2.0.0)': {dependencies: {peer: 2.0.0}}
  peer@2.0.0: {}
  real@3.0.0: {optionalDependencies: {native: 1.0.0, sharp: 1.0.0}}
  inner@4.0.0: {}
  only-dev@9.0.0: {}
  native@1.0.0: {}
  sharp@1.0.0: {dependencies: {of-sharp: 1.0.0}}
  of-sharp@1.0.0: {}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "pnpm-lock.yaml"
    path.write_text(text)
    return path


def test_what_is_shipped_follows_production_dependencies_only(tmp_path: Path) -> None:
    found = lockfile.shipped(written(tmp_path, LOCK))
    assert [(p.name, p.version) for p in found.packages] == [
        ("@scope/a", "1.0.0"),
        ("inner", "4.0.0"),
        ("peer", "2.0.0"),
        ("real", "3.0.0"),
    ]
    assert found.packages[0].needs == (("inner", "4.0.0"), ("peer", "2.0.0"))
    assert found.direct == (("@scope/a", "1.0.0"), ("inner", "4.0.0"), ("real", "3.0.0"))
    assert found.packages[3].integrity == ""


@pytest.mark.parametrize(
    "text", ["[", "importers: {}", "importers: {apps/backend: {dependencies: {a: 1}}}", ""]
)
def test_a_lockfile_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeployError) as caught:
        lockfile.shipped(written(tmp_path, text))
    assert caught.value.code is Code.LOCKFILE_MISMATCH
    assert "pnpm-lock.yaml" in caught.value.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://github.com/metatool-ai/metamcp.git", "https://github.com/metatool-ai/metamcp.git"),
        ("https://somebody@git.example.com:8443/a/b", "https://git.example.com:8443/a/b"),
        ("ssh://git@git.example.com/a/b", "ssh://git@git.example.com/a/b"),
        ("git@git.example.com:a/b.git", "git@git.example.com:a/b.git"),
        ("/home/somebody/metamcp", None),
        ("file:///home/somebody/metamcp", None),
    ],
)
def test_a_url_is_told_but_no_path_and_no_user(url: str, shown: str | None) -> None:
    assert metadata.public(url) == shown


def about(project: Project) -> dict[str, Any]:
    return json.loads((project.bundle / "app/release.json").read_text())  # type: ignore[no-any-return]


def test_release_json_tells_how_it_was_made_and_every_file(built_sample: Project) -> None:
    found = about(built_sample)
    patched = pipeline.facts(built_sample.state, "patch", "test")
    assert found["patches"] == [{"id": p["id"], "matches": p["matches"]} for p in patched["patches"]]
    assert {"path": "apps/backend/src/databricks/migrate.ts", "replaces": False} in found["overrides"]
    assert set(found["built_with"]) == {"node", "package_manager"}
    app = built_sample.bundle / "app"
    assert set(found["files"]) == {p.name for p in app.iterdir()} - {"release.json"}
    for name, told in found["files"].items():
        content = (app / name).read_bytes()
        assert told == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_the_id_can_be_computed_from_the_list_of_files(built_sample: Project) -> None:
    listing = json.loads((built_sample.bundle / "app/files.json").read_text())
    lines = sorted(f"{path}\0{f['mode']}\0{f['sha256']}\n" for path, f in listing.items())
    assert hashlib.sha256("".join(lines).encode()).hexdigest()[:16] == about(built_sample)["id"]


def test_nothing_that_is_told_names_the_builders_machine(built_sample: Project) -> None:
    prepared = pipeline.facts(built_sample.state, "prepare", "test")
    for name in ("release.json", "files.json", "sbom.cdx.json"):
        text = (built_sample.bundle / "app" / name).read_text()
        assert str(built_sample.folder) not in text
        assert prepared["url"] not in text
        assert str(Path.home()) not in text


def test_the_bill_of_materials_is_valid_and_names_what_is_shipped(built_sample: Project) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (built_sample.bundle / "app" / sbom.NAME).read_text()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the validator's own libraries
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert "timestamp" not in document["metadata"]
    by_name = {c["name"]: c for c in document["components"]}
    assert {"express", "next", "react", "pg"} <= set(by_name)
    assert not {"sharp", "typescript", "esbuild", "tsup"} & set(by_name)
    express = by_name["express"]
    assert express["purl"] == f"pkg:npm/express@{express['version']}"
    assert [one["license"]["id"] for one in express["licenses"]] == ["MIT"]
    assert len(express["hashes"][0]["content"]) == 128
    needs = {d["ref"]: d.get("dependsOn", []) for d in document["dependencies"]}
    assert express["purl"] in needs["metamcp"]
    assert needs[express["purl"]]


def test_the_bill_of_materials_is_the_same_each_time(tmp_path: Path) -> None:
    packages = lockfile.shipped(written(tmp_path, LOCK))
    upstream = {"url": "https://github.com/metatool-ai/metamcp.git", "ref": "v2.4.22", "commit": "a" * 40}
    first = sbom.of_release(packages, tmp_path, "0" * 16, upstream)
    assert first == sbom.of_release(packages, tmp_path, "0" * 16, upstream)
    assert first != sbom.of_release(packages, tmp_path, "1" * 16, upstream)
    gateway = json.loads(first)["metadata"]["component"]
    assert gateway["purl"] == f"pkg:github/metatool-ai/metamcp@{'a' * 40}"
