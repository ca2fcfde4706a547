"""What a protected target refuses before the first write: asked of a real git."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import atomic, pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import releases
from metamcp_deploy.stages import app_deploy, bundle_deploy
from metamcp_deploy.target import protection, session

ROOT = "/Workspace/Shared/protected"
Make = Callable[..., Project]


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A protected project whose configuration is committed."""

    def made(commit: bool = True, **more: Any) -> Project:
        folder = tmp_path / "work"
        (folder / "overrides").mkdir(parents=True)
        (folder / "metamcp.yaml").write_text("targets: {prod: {protected: true}}\n")
        (folder / "overrides" / "a.ts").write_text("// mine\n")
        if commit:
            git(folder, "init", "-q")
            (folder / ".gitignore").write_text("build/\n__pycache__/\nhidden.ts\n")
            git(folder, "add", "-A")
            git(folder, "commit", "-qm", "first")
        settings = {"target": "prod", "protected": True, "workspace": {"root_path": ROOT}, **more}
        settings |= {"overrides": folder / "overrides", "upstream": {"commit": "a" * 40}}
        return Project(folder, Settings.model_validate(settings))

    return made


def refused(project: Project) -> DeployError:
    with pytest.raises(DeployError) as caught:
        protection.allow(project)
    assert caught.value.code is Code.TARGET_PROTECTED
    return caught.value


def test_committed_configuration_may_pass(make: Make) -> None:
    project = make()
    (project.folder / "unrelated.txt").write_text("not part of it")
    (project.folder / "overrides" / "__pycache__").mkdir()
    (project.folder / "overrides" / "__pycache__" / "a.pyc").write_bytes(b"x")
    protection.allow(project)


@pytest.mark.parametrize(
    "name", ["metamcp.yaml", "overrides/a.ts", "overrides/new.ts", "overrides/hidden.ts"]
)
def test_a_change_since_is_named(make: Make, name: str) -> None:
    project = make()
    (project.folder / name).write_text("changed: {}\n")
    error = refused(project)
    assert "differs from what is committed" in error.message
    assert name in (error.detail or "")
    assert "git -C" in error.hint
    git(project.folder, "add", "-Af", name)
    assert name in (refused(project).detail or "")  # staged is not committed
    git(project.folder, "commit", "-qm", "second")
    protection.allow(project)


def test_without_git_nothing_is_committed(make: Make) -> None:
    assert "git does not say whether" in refused(make(commit=False)).message


def test_a_branch_as_pin_is_refused(make: Make) -> None:
    project = make()
    record = {"fingerprint": {}, "facts": {"kind": "branch"}}
    atomic.write(project.state / "prepare.json", json.dumps(record))
    assert "is a branch" in refused(project).message


def test_a_release_of_another_commit_is_refused(make: Make) -> None:
    project = make()
    app = project.bundle / "app"
    app.mkdir(parents=True)
    (app / "release.json").write_text(json.dumps({"upstream": {"commit": "a" * 40}}))
    protection.allow(project)
    (app / "release.json").write_text(json.dumps({"upstream": {"commit": "b" * 40}}))
    assert f"built from {'b' * 40}" in refused(project).message


def test_critical_holes_of_packages_need_to_be_accepted(make: Make) -> None:
    def hole(name: str, severity: float, here: str = "", package: str = "next@15.5.2") -> dict[str, Any]:
        return {
            "id": name,
            "severity": severity,
            "what": "w",
            "fixed": None,
            "here": here,
            "package": package,
        }

    holes = [
        hole("GHSA-open", 9.8),
        hole("GHSA-closed", 10.0, here="the front end gets no POST"),
        hole("GHSA-high", 8.9),
        hole("CVE-of-metamcp", 9.8, here="closed", package=""),
    ]
    project = make()
    with pytest.raises(DeployError) as caught:
        protection.of_release(project, {"advisories": holes})
    assert caught.value.code is Code.TARGET_PROTECTED
    assert "packages: GHSA-open." in caught.value.message
    assert "upstream.accepted_advisories: [GHSA-open]" in caught.value.hint
    protection.of_release(project, {"advisories": holes[1:]})
    upstream = project.settings.upstream.model_copy(update={"accepted_advisories": ("GHSA-open",)})
    accepting = replace(project, settings=project.settings.model_copy(update={"upstream": upstream}))
    protection.of_release(accepting, {"advisories": holes})
    open_to_all = replace(project, settings=project.settings.model_copy(update={"protected": False}))
    protection.of_release(open_to_all, {"advisories": holes})


def test_both_stages_ask_before_they_log_in(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make()
    (project.folder / "metamcp.yaml").write_text("changed: {}\n")
    monkeypatch.setattr(session, "connect", lambda _: pytest.fail("logged in"))
    monkeypatch.setattr(releases, "built", lambda _: None)
    for stage in (bundle_deploy, app_deploy):
        with pytest.raises(DeployError) as caught:
            pipeline.execute(stage.step(project), project.state)
        assert caught.value.code is Code.TARGET_PROTECTED


def test_a_protected_target_needs_a_root(make: Make) -> None:
    project = make()
    dump = {**project.settings.model_dump(by_alias=True), "workspace": {}}
    with pytest.raises(DeployError) as caught:
        protection.allow(replace(project, settings=Settings.model_validate(dump)))
    assert caught.value.code is Code.CONFIG_INVALID
