"""A release in the workspace is of one build, also where two machines built the same id."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import events, fingerprint, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import checking, releases, sending
from metamcp_deploy.release.releases import COMPLETE, Release
from metamcp_deploy.target import session
from metamcp_deploy.workspace import lock
from tests import http_seam
from tests.deploy.tiny_app import write_bundle

Deploy = Callable[..., pipeline.Facts]


def packed_otherwise(project: Project, padding: bytes) -> Release:
    """The built release as a machine with another zlib would have packed it: other archives, the same id."""
    app = project.bundle / "app"
    about: dict[str, Any] = json.loads((app / "release.json").read_text())
    for part in about["parts"].values():
        path = app / part["file"]
        path.write_bytes(path.read_bytes() + padding)
        part |= {"sha256": fingerprint.of_file(path), "bytes": path.stat().st_size}
    files = [p for p in sorted(app.iterdir()) if p.name != "release.json"]
    about["files"] = {p.name: {"sha256": fingerprint.of_file(p), "bytes": p.stat().st_size} for p in files}
    (app / "release.json").write_text(json.dumps(about))
    return releases.built(project)


def agree(site: session.Site, release: Release) -> None:
    """What is in the workspace fits its own release.json, and is whole."""
    path = releases.path_of(site.root, release.id)
    found = site.workspace.files.contents(f"{path}/{name}" for name in release.files)
    parts = json.loads(found[f"{path}/release.json"] or b"")["parts"]
    for part in parts.values():
        assert fingerprint.of_bytes(found[f"{path}/{part['file']}"] or b"") == part["sha256"]
    assert releases.is_complete(site.workspace, site.root, release.id)


def test_a_whole_release_of_another_machine_is_left_as_it_is(
    project: Project, bundled: Deploy, emitted: list[events.Event]
) -> None:
    packed_otherwise(project, b"\0" * 10)
    facts = bundled(project)
    site = session.site(project)
    write_bundle(project)
    release = packed_otherwise(project, b"\0" * 30)
    assert release.id == facts["release"]
    emitted.clear()
    bundled(project)
    agree(site, release)
    assert [e.action for e in emitted if isinstance(e, events.Changed) and e.kind == "release"] == ["kept"]
    assert checking.difference(site.workspace, site.root, release.id) is None  # it is the same release


def test_half_a_release_of_another_machine_is_replaced_wholly(project: Project, bundled: Deploy) -> None:
    ada = packed_otherwise(project, b"\0" * 10)
    site = session.site(project)
    path = releases.path_of(site.root, ada.id)
    site.workspace.files.send(path, {n: p for n, p in ada.files.items() if n != "migrations.tar.gz"})
    write_bundle(project)
    ben = packed_otherwise(project, b"\0" * 9 + b"\1")  # of the same sizes
    assert ben.sizes == ada.sizes
    bundled(project)
    agree(site, ben)


def test_a_damaged_release_of_another_machine_is_not_to_be_started_while_it_is_replaced(
    project: Project, bundled: Deploy
) -> None:
    packed_otherwise(project, b"\0" * 10)
    bundled(project)
    site = session.site(project)
    write_bundle(project)
    release = packed_otherwise(project, b"\0" * 30)
    path = releases.path_of(site.root, release.id)
    site.workspace.files.delete(f"{path}/start.mjs")
    uploaded = sending.look(site.workspace, site.root, release)
    assert not uploaded.complete

    first = http_seam.around("POST /api/2.0/workspace/mkdirs", before=http_seam.interrupt)
    with pytest.raises(KeyboardInterrupt), first:
        sending.send(site.workspace, site.root, release, uploaded)
    assert COMPLETE not in site.workspace.files.sizes(path)
    bundled(project)
    agree(site, release)


def test_altered_files_stay_while_somebody_else_holds_the_lock(
    project: Project, bundled: Deploy, tmp_path: Path
) -> None:
    facts = bundled(project)
    site = session.site(project)
    path = f"{releases.path_of(site.root, facts['release'])}/start.mjs"
    content = site.workspace.files.read(path) or b""
    site.workspace.files.write(path, altered := content.replace(b"tiny", b"TINY"))
    with lock.held(site.workspace.files, site.root, "ben@example.com", tmp_path / "his.lock"):
        with pytest.raises(DeployError) as caught:
            bundled(project, verify_upload=True)
        assert caught.value.code is Code.LOCK_HELD
        assert site.workspace.files.read(path) == altered


def test_an_altered_release_is_deleted(project: Project, bundled: Deploy) -> None:
    release = bundled(project)["release"]
    site = session.site(project)
    sending.discard(site.workspace, site.root, release)  # nothing is wrong
    path = releases.path_of(site.root, release)
    site.workspace.files.write(f"{path}/package.json", b"{}")
    with pytest.raises(DeployError) as caught:
        sending.discard(site.workspace, site.root, release)
    assert (caught.value.code, "package.json" in caught.value.message) == (Code.RELEASE_ALTERED, True)
    assert not site.workspace.files.entries(path)
