"""rollback, release and destroy as people and pipelines run them: output, a terminal, exit codes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config import load
from metamcp_deploy.config.project import Project
from metamcp_deploy.target import session
from tests import commands
from tests.deploy.tiny_app import APP, write_bundle, write_databricks_yml

Deploy = Callable[..., pipeline.Facts]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "metamcp_deploy", *words, "-t", "local"]


@pytest.fixture
def run(project: Project) -> Run:
    """Runs a command in the project's folder, for its app, without a terminal."""
    commands.write_target(project)

    def done(*words: str) -> subprocess.CompletedProcess[str]:
        return commands.run(*words, "-t", "local", folder=project.folder)

    return done


def typed(project: Project, answer: str, *words: str) -> tuple[int, str]:
    """Exit code and output of a command on a terminal, on which somebody types."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        argv(*words),
        cwd=project.folder,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    out, _ = child.communicate(timeout=120)
    os.close(ours)
    return child.returncode, out


def test_two_releases_and_back(project: Project, deployed: Deploy, run: Run) -> None:
    first = deployed(project)
    write_bundle(project, APP + "// the second release")
    second = deployed(project)
    planned = run("rollback", "--plan", "--detailed-exitcode", "-o", "json")
    document = json.loads(planned.stdout)
    assert (planned.returncode, document["differs"]) == (4, True)
    back = run("rollback", "-m", "too slow", "-o", "json")
    document = json.loads(back.stdout)
    assert (back.returncode, document["release"], document["of"]) == (
        0,
        first["release"],
        first["deployment"],
    )
    assert document["health"]["status"] == "healthy"
    listed = json.loads(run("release", "list", "-o", "json").stdout)["releases"]
    assert {one["id"]: one["stays"] for one in listed} == {
        first["release"]: "runs",
        second["release"]: "one of the newest",
    }
    assert second["release"] in run("release", "list").stdout
    pruned = run("release", "prune", "--keep", "0", "-o", "json")
    assert (pruned.returncode, json.loads(pruned.stdout)["counts"]) == (0, {"delete": 1, "keep": 1})
    nothing = run("rollback", "-o", "json")
    assert (nothing.returncode, json.loads(nothing.stdout)["error"]["code"]) == (1, "not_found")
    both = run("rollback", "--to-database", "--keep-database")
    assert both.returncode == 2


def test_destroy_wants_the_name(project: Project, deployed: Deploy, run: Run) -> None:
    name = project.settings.app.name
    deployed(project)
    refused = run("destroy")
    assert (refused.returncode, "--auto-approve" in refused.stderr) == (2, True), refused.stderr
    code, out = typed(project, "something else", "destroy")
    assert (code, "nothing was deleted" in out) == (2, True)
    workspace = session.connect(project)
    assert workspace.apps.find(name) is not None
    planned = run("destroy", "--plan", "--with-database", "-o", "json")
    assert json.loads(planned.stdout)["counts"]["delete"] >= 3
    code, out = typed(project, name, "destroy")
    assert (code, workspace.apps.find(name)) == (0, None), out
    listed = json.loads(run("history", "-o", "json").stdout)["deployments"]
    assert [entry["kind"] for entry in listed] == ["destroy", "deploy"]
    gone = run("destroy", "--with-database", "--with-secrets", "--auto-approve", "-o", "json")
    assert gone.returncode == 0
    assert workspace.lakebase.find(f"projects/{name}") is None


def mode(project: Project, mode: str) -> None:
    """The app's settings in metamcp.yaml, and what `build` makes of them."""
    path = project.folder / "metamcp.yaml"
    name = project.settings.app.name
    app = f"{{name: {name}, env: {{MODE: {mode}}}}}"
    path.write_text(f"version: 1\ntargets:\n  local:\n    embedded: true\n    app: {app}\n")
    write_databricks_yml(load(project.folder, target="local"))


def test_a_failed_deployment_is_taken_back(project: Project, deployed: Deploy, run: Run) -> None:
    good = deployed(project)
    for number, (way, code) in enumerate([("crash", "deployment_failed"), ("missing", "unhealthy")], 1):
        mode(project, way)
        failed = run("app-deploy", "--rollback-on-failure", "-o", "json")
        error = json.loads(failed.stdout)["error"]
        assert (failed.returncode, error["code"]) == (1, code), failed.stderr
        assert f"Release {good['release']}" in error["message"]
        listed = json.loads(run("history", "-o", "json").stdout)["deployments"]
        assert [e["kind"] for e in listed[::2]] == [*["rollback"] * number, "deploy"]
        assert listed[0]["of"] == listed[2]["deployment"]
        assert listed[1]["outcome"] == {"crash": "FAILED", "missing": "UNHEALTHY"}[way]
        assert run("health").returncode == 0


def test_an_earlier_release_with_the_settings_of_now(project: Project, deployed: Deploy, run: Run) -> None:
    first = deployed(project)
    write_bundle(project, APP + "// the second release")
    deployed(project)
    wanted = ["app-deploy", "--release", first["release"][:6], "-o", "json"]
    planned = json.loads(run(*wanted, "--plan").stdout)
    fields = [d for change in planned["changes"] for d in change["differences"] if d["field"] == "release"]
    assert [d["after"] for d in fields] == [first["release"]]
    again = run(*wanted)
    assert again.returncode == 0, again.stderr
    newest = json.loads(run("history", "-o", "json").stdout)["deployments"][0]
    assert (newest["release"], newest["kind"]) == (first["release"], "deploy")
    unknown = json.loads(run("app-deploy", "--release", "feedfeed", "-o", "json").stdout)
    assert unknown["error"]["code"] == "release_unknown"


def test_an_upload_is_verified_wholly(project: Project, deployed: Deploy, run: Run) -> None:
    facts = deployed(project)
    mode(project, "well")
    site = session.site(project)
    verified = run("bundle-deploy", "--verify-upload")
    assert verified.returncode == 0, verified.stderr
    path = f"{site.root}/releases/{facts['release']}/start.mjs"
    content = site.workspace.files.read(path) or b""
    site.workspace.files.write(path, content.replace(b"tiny", b"TINY"))
    assert run("bundle-deploy").returncode == 0  # sizes alone do not tell
    found = run("bundle-deploy", "--verify-upload")
    assert (found.returncode, "release_altered" in found.stderr) == (1, True)
    assert run("bundle-deploy", "--verify-upload").returncode == 0
    assert site.workspace.files.read(path) == content
