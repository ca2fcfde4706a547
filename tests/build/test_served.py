"""A release serves what the full build does, although much was left out of it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from metamcp_deploy.config.project import Project
from metamcp_deploy.release.build import frontend, node
from tests.build.serving import paths, statuses, whole


def build_id(folder: Path) -> str:
    return (folder / frontend.APP / ".next/BUILD_ID").read_text().strip()


def test_every_page_and_asset_answers_as_in_the_full_build(built_work: Project, tmp_path: Path) -> None:
    tree, program = built_work.build / "work/tree", node.find().program
    asked = paths(tree)
    assert any(p.endswith(".js") for p in asked)
    assert any(p.endswith(".svg") for p in asked)
    assert "/en/login" in asked
    with tarfile.open(built_work.bundle / "app/frontend.tar.gz") as tar:
        tar.extractall(tmp_path / "release", filter="data")
    # Next's own build id stands in the path of two files; a release has another.
    old, new = (build_id(folder) for folder in (tree, tmp_path / "release"))
    full = statuses(program, whole(tree, tmp_path / "whole"), asked)
    shipped = statuses(program, tmp_path / "release", [path.replace(old, new) for path in asked])
    assert shipped == {path.replace(old, new): answer for path, answer in full.items()}
    assert full["/en/login"][0] == 200
    assert full["/_next/static/none.js"][0] == 404


def test_what_was_left_out_is_told(built_sample: Project) -> None:
    about = json.loads((built_sample.bundle / "app/release.json").read_text())
    left = {row["what"]: row for row in about["left_out"]}
    assert left["sharp's binaries and libvips"]["files"] > 0
    assert left["React for development"]["bytes"] > 500_000
    assert sum(row["bytes"] for row in about["left_out"]) > 10_000_000
