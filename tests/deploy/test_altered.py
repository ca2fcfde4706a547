"""A colleague who may write to the target's root changes a release there, and every digest beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import records
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import releases
from metamcp_deploy.rollback import execution
from metamcp_deploy.rollback.preparation import Wishes
from metamcp_deploy.secrets import rotation
from metamcp_deploy.target import session
from metamcp_deploy.target.site import Site
from tests import http_seam
from tests.deploy.tiny_app import APP, with_app, write_bundle

Deploy = Callable[..., pipeline.Facts]
HERS = b"console.log('hers'); process.exit(1);"


def change(site: Site, release: str, name: str, content: bytes) -> Callable[[], None]:
    """Changes a file, with its digest in release.json and its size in the marker; gives the way back."""
    files, path = site.workspace.files, releases.path_of(site.root, release)
    before = {n: files.read(f"{path}/{n}") for n in (name, "release.json", ".complete")}
    files.write(f"{path}/{name}", content)
    if name != "release.json":
        about = json.loads(before["release.json"] or b"")
        digest = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        about["files"] = {**about.get("files", {}), name: digest}
        part = name.removesuffix(".tar.gz")
        about["parts"].get(part, {}).update(digest)
        files.write(f"{path}/release.json", json.dumps(about).encode())
    sizes = {n: size for n, size in files.sizes(path).items() if n != ".complete"}
    files.write(f"{path}/.complete", json.dumps({"release": release, "files": sizes}).encode())

    def back() -> None:
        for n, kept in before.items():
            files.delete(f"{path}/{n}") if kept is None else files.write(f"{path}/{n}", kept)

    return back


def active(site: Site) -> str:
    app = site.workspace.apps.get(site.project.settings.app.name)
    return app.active.id if app.active else ""


def refused(act: Callable[[], object]) -> DeployError:
    with pytest.raises(DeployError) as caught:
        act()
    return caught.value


def test_what_was_altered_is_not_deployed(project: Project, deployed: Deploy, bundled: Deploy) -> None:
    site = session.site(project)
    first = deployed(with_app(project, compute_size="LARGE"))["release"]
    write_bundle(project, APP + "// the second release")
    second = deployed(project)
    about = json.loads(site.workspace.files.read(f"{releases.path_of(site.root, first)}/release.json") or b"")
    pwn = {**about, "routes": [{"prefix": "/pwn", "to": "/mcp-proxy/server/stdio", "exact": True}]}
    for name, content, said in (
        ("start.mjs", HERS, "its content is"),
        ("release.json", json.dumps(pwn).encode(), "its content is"),
        ("backend.tar.gz", b"hers", "backend.tar.gz that is damaged"),
        ("package.json", b'{"scripts": {"build": "hers"}}', "holds package.json"),
    ):
        back = change(site, first, name, content)
        error = refused(lambda: execution.run(site, Wishes()))
        assert (error.code, said in error.message) == (Code.RELEASE_ALTERED, True), error.message
        back()
    site.workspace.files.make_folder(f"{releases.path_of(site.root, first)}/node_modules")
    assert refused(lambda: execution.run(site, Wishes())).code is Code.RELEASE_ALTERED
    app = site.workspace.apps.get(project.settings.app.name)
    assert (active(site), app.raw["compute_size"]) == (second["deployment"], "MEDIUM")  # nothing is half done

    change(site, second["release"], "start.mjs", HERS)
    written = site.workspace.secrets.written(project.settings.secret_scope)
    assert refused(lambda: rotation.rotate(site)).code is Code.RELEASE_ALTERED
    assert site.workspace.secrets.written(project.settings.secret_scope) == written
    assert refused(lambda: deployed(with_app(project, env={"A": "1"}))).code is Code.RELEASE_ALTERED
    assert refused(lambda: bundled(project, verify_upload=True)).code is Code.RELEASE_ALTERED
    assert deployed(with_app(project, env={"A": "1"}))["release"] == second["release"]


def test_what_is_changed_after_the_check_is_stopped(
    project: Project, deployed: Deploy, bundled: Deploy
) -> None:
    """The platform copies the source some time after the check."""
    release = bundled(project)["release"]
    site = session.site(project)
    call = f"POST /api/2.0/apps/{project.settings.app.name}/deployments"
    hers = APP.encode() + b"console.log('hers');"
    with http_seam.around(call, before=lambda: change(site, release, "start.mjs", hers)):
        error = refused(lambda: deployed(project))
    assert error.code is Code.RELEASE_ALTERED
    assert "secrets rotate" in error.hint
    assert site.workspace.apps.get(project.settings.app.name).compute in ("STOPPING", "STOPPED")
    assert records.newest(site, 1)[0].outcome == "FAILED"


def test_a_record_cannot_name_another_folder(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    first = deployed(project)
    deployed(with_app(project, env={"A": "1"}))
    elsewhere = f"{site.root}/hers"
    site.workspace.files.make_folder(elsewhere)
    site.workspace.files.write(f"{elsewhere}/app.yaml", b'command: ["node", "start.mjs"]')
    site.workspace.files.write(f"{elsewhere}/start.mjs", HERS)
    records.amend_by_id(site, first["deployment"], source_code_path=elsewhere)
    done = execution.run(site, Wishes())
    ran = site.workspace.apps.deployment(project.settings.app.name, done.deployment)
    assert ran.source_code_path == releases.path_of(site.root, first["release"])


def test_a_release_of_format_1_runs_only_when_it_is_named(project: Project, deployed: Deploy) -> None:
    """Its id does not cover its routes."""
    site = session.site(project)
    older = write_bundle(project, form=1)
    error = refused(lambda: deployed(project))
    assert (error.code, older in error.hint) == (Code.RELEASE_UNPROVEN, True)
    assert refused(lambda: deployed(project, release=older[:8])).code is Code.RELEASE_UNPROVEN
    deployed(project, release=older)
    write_bundle(project, APP + "// the second release")
    newer = deployed(project)
    for wishes in (Wishes(), Wishes(release=newer["release"])):
        error = refused(lambda wishes=wishes: execution.run(site, wishes))  # type: ignore[misc]
        assert f"--id {older}" in error.hint
    assert error.code is Code.NO_WAY_BACK
    assert active(site) == newer["deployment"]
    assert execution.run(site, Wishes(release=older)).rollback.target.release == older
    change(site, older, "start.mjs", HERS)
    execution.run(site, Wishes(newer["deployment"]))
    assert refused(lambda: execution.run(site, Wishes(release=older))).code is Code.RELEASE_ALTERED
