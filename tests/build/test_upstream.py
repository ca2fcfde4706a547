"""Real pnpm on small trees that need no package from anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metamcp_deploy import events, pipeline, process
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import upstream
from metamcp_deploy.stages import build

Write = Callable[[Path, dict[str, str | bytes]], Path]


def manifest(script: str, **more: object) -> str:
    document = {"private": True, "packageManager": "pnpm@9.0.0", "scripts": {"build": script}, **more}
    return json.dumps(document)


def failing(project: Project) -> DeployError:
    with pytest.raises(DeployError) as e:
        pipeline.execute(build.step(project), project.state)
    return e.value


def test_a_lockfile_that_does_not_fit_is_named(project: Project, write: Write) -> None:
    write(project.patched, {"package.json": manifest("true", dependencies={"left-pad": "1.3.0"})})
    error = failing(project)
    assert error.code is Code.LOCKFILE_MISMATCH
    assert "pnpm-lock.yaml" in error.message
    assert "OUTDATED_LOCKFILE" in (error.detail or "")


def test_no_lockfile_at_all(project: Project) -> None:
    (project.patched / "pnpm-lock.yaml").unlink()
    error = failing(project)
    assert error.code is Code.LOCKFILE_MISMATCH
    assert "is missing" in error.message


def test_a_failed_build_shows_its_last_lines_and_the_log(
    project: Project, write: Write, emitted: list[events.Event]
) -> None:
    write(project.patched, {"package.json": manifest("echo first; echo 'Type error: x' >&2; exit 7")})
    error = failing(project)
    log = project.logs / "build.log"
    assert error.code is Code.BUILD_FAILED
    assert str(log) in error.message
    assert "Type error: x" in (error.detail or "")
    assert "first" in log.read_text()
    lines = [e.line for e in emitted if isinstance(e, events.Output) and e.source == "pnpm"]
    assert "Type error: x" in lines
    assert next(e.text for e in emitted if isinstance(e, events.Note)).endswith("pnpm 9.0.0 in the cache")


def test_a_build_killed_for_memory_says_so(project: Project, write: Write) -> None:
    write(project.patched, {"package.json": manifest("echo 'JavaScript heap out of memory'; exit 134")})
    error = failing(project)
    assert "memory" in error.message
    assert "2 GB" in error.hint


def test_a_full_disk_is_named(project: Project, write: Write) -> None:
    write(project.patched, {"package.json": manifest("echo 'ENOSPC: no space left on device'; exit 1")})
    assert failing(project).code is Code.DISK_FULL


def test_a_build_that_leaves_nothing_is_an_error(project: Project) -> None:
    error = failing(project)
    assert error.code is Code.BUILD_FAILED
    assert "left no" in error.message


def test_the_build_sees_none_of_the_callers_secrets(
    project: Project, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = "marked-secret-value"
    for name in ("BETTER_AUTH_SECRET", "DATABRICKS_TOKEN", "NEXT_PUBLIC_APP_URL", "TURBO_TOKEN", "NODE_ENV"):
        monkeypatch.setenv(name, marked)
    write(project.patched, {"package.json": manifest("env; node --version; pnpm --version; exit 1")})
    failing(project)
    text = (project.logs / "build.log").read_text()
    assert marked not in text
    assert "NEXT_TELEMETRY_DISABLED=1" in text
    assert "\n9.0.0\n" in text


def test_the_build_has_a_home_of_its_own_and_the_install_the_persons_registry(
    project: Project, write: Write, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = {
        ".databrickscfg": "[DEFAULT]\ntoken = marked",
        ".npmrc": "//r.example/:_authToken=${MARKED_TOKEN}\n",
    }
    certificates = {".config/pnpm/rc": "cafile=~/marked.pem\nregistry=https://marked.example/\n"}
    write(isolated, {**marks, **certificates})
    monkeypatch.setenv("MARKED_TOKEN", "marked-token")
    monkeypatch.setenv("npm_config_//r.example/:_password", "marked-password")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/marked")
    script = "env; cat ~/.databrickscfg ~/.npmrc ~/.config/pnpm/rc; pnpm config get registry; exit 1"
    write(project.patched, {"package.json": manifest(script), ".pnpmfile.cjs": "throw Error('marked')"})
    error = failing(project)
    assert error.code is Code.BUILD_FAILED
    assert "build" in error.message  # the install did not run the pnpmfile
    text = (project.logs / "build.log").read_text()
    assert "marked" not in text
    assert f"\nHOME={project.build / 'work' / 'home'}\n" in text
    env = upstream.Environments.of(project, project.build / "work" / "home").install
    assert env["MARKED_TOKEN"] == "marked-token"
    assert env["npm_config_userconfig"] == str(isolated / ".npmrc")
    assert env["npm_config_cafile"] == str(isolated / "marked.pem")
    pnpm = [project.build / "work" / "bin" / "pnpm", "config", "get", "registry"]
    assert process.run(pnpm, env=env, cwd=Path("/")).stdout.strip() == "https://marked.example/"


def test_install_scripts_do_not_run(project: Project, write: Write) -> None:
    scripts = {
        "build": "exit 1",
        "preinstall": "touch ran",
        "postinstall": "touch ran",
        "prepare": "touch ran",
    }
    write(project.patched, {"package.json": manifest("", scripts=scripts)})
    failing(project)
    assert not (project.build / "work" / "tree" / "ran").exists()


def test_the_previous_bundle_stays(project: Project, write: Write) -> None:
    write(project.bundle, {"databricks.yml": "former"})
    write(project.patched, {"package.json": manifest("exit 1")})
    failing(project)
    assert (project.bundle / "databricks.yml").read_text() == "former"
    assert sorted(p.name for p in project.build.iterdir()) == ["bundle", "logs", "metamcp", "state", "work"]


def test_without_cache_nothing_is_kept_in_it(
    project: Project, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAMCP_CACHE_DIR", str(tmp_path / "cache"))
    write(project.patched, {"package.json": manifest("exit 1")})
    failing(Project(folder=project.folder, settings=project.settings, use_cache=False))
    assert not {"tools", "store"} & {p.name for p in (tmp_path / "cache").glob("*")}
    assert (project.build / "work" / "tools" / "pnpm-9.0.0").is_dir()


@pytest.mark.parametrize("stage", ["prepare", "patch"])
def test_an_earlier_stage_that_has_not_run_is_named(project: Project, stage: str) -> None:
    (project.state / f"{stage}.json").unlink()
    with pytest.raises(DeployError) as e:
        build.step(project)
    assert e.value.code is Code.STAGE_MISSING
    assert f"metamcp-deploy {stage}" in e.value.hint
