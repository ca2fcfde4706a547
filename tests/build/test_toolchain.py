import json
import os
from pathlib import Path

import pytest

from metamcp_deploy import process
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import node, toolchain


@pytest.mark.parametrize(
    ("named", "version"),
    [("pnpm@9.0.0", "9.0.0"), ("pnpm@10.2.1+sha512.abc", "10.2.1"), ("pnpm@9.0.0-rc.1", "9.0.0-rc.1")],
)
def test_reads_the_named_version(tmp_path: Path, named: str, version: str) -> None:
    (tmp_path / "package.json").write_text(json.dumps({"packageManager": named}))
    assert toolchain.named_pnpm(tmp_path) == version


@pytest.mark.parametrize("text", ['{"packageManager": "yarn@4.1.0"}', "{}", "[]", "not json", None])
def test_anything_but_pnpm_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "package.json").write_text(text)
    with pytest.raises(DeployError) as e:
        toolchain.named_pnpm(tmp_path)
    assert e.value.code is Code.BUILD_FAILED
    assert str(tmp_path) in e.value.message


def fake_pnpm(folder: Path, version: str) -> str:
    folder.mkdir()
    (folder / "pnpm").write_text(f"#!/bin/sh\necho {version}\n")
    (folder / "pnpm").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_the_same_version_on_path_is_taken(tmp_path: Path) -> None:
    env = process.base_environment(PATH=fake_pnpm(tmp_path / "bin", "9.0.0"))
    found = toolchain.ready_pnpm(node.find(), "9.0.0", tmp_path / "tools", env)
    assert (found.words, found.origin) == ((str(tmp_path / "bin" / "pnpm"),), "on PATH")
    assert not (tmp_path / "tools").exists()


def test_another_version_on_path_is_not_and_a_private_one_is_made_once(tmp_path: Path) -> None:
    env = process.base_environment("NODE_EXTRA_CA_CERTS", PATH=fake_pnpm(tmp_path / "bin", "8.6.0"))
    tools = tmp_path / "to ols"
    prefix = tools / "pnpm-9.0.0"
    (prefix / "node_modules" / "pnpm").mkdir(parents=True)  # left by something that was killed
    found = toolchain.ready_pnpm(node.find(), "9.0.0", tools, env)
    folder = toolchain.make_bin(tmp_path / "b in", node.find(), found)
    for program, said in (("pnpm", "9.0.0"), ("node", f"v{node.find().version}")):
        assert process.run([folder / program, "--version"], cwd=tmp_path).stdout.strip() == said
    assert [p.name for p in tools.iterdir()] == ["pnpm-9.0.0"]
    made = prefix.stat().st_ino
    again = toolchain.ready_pnpm(node.find(), "9.0.0", tools, env)
    assert (again, prefix.stat().st_ino) == (found, made)
    # A disk that fails changes what a file holds, not its size or date.
    damaged = prefix / "node_modules" / "pnpm" / "dist" / "pnpm.cjs"
    whole, times = damaged.read_bytes(), (damaged.stat().st_atime, damaged.stat().st_mtime)
    damaged.write_bytes(whole[:5000] + b"\xff\xff" + whole[5002:])
    os.utime(damaged, times)
    assert toolchain.ready_pnpm(node.find(), "9.0.0", tools, env) == found
    assert damaged.read_bytes() == whole


def test_a_registry_that_cannot_be_reached_leaves_nothing(tmp_path: Path) -> None:
    env = process.base_environment(npm_config_registry="http://127.0.0.1:1/", npm_config_fetch_retries="0")
    with pytest.raises(DeployError) as e:
        toolchain.ready_pnpm(node.find(), "9.0.1", tmp_path / "tools", {**env, "HOME": str(tmp_path)})
    assert e.value.code is Code.TOOL_MISSING
    assert "pnpm 9.0.1" in e.value.hint
    assert not any((tmp_path / "tools").iterdir())


def test_a_disk_too_full_for_pnpm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "npm error code ENOSPC\\nnpm error nospc There appears to be insufficient space on your system"
    npm = ["sh", "-c", f"printf '{said}' >&2; exit 228"]
    monkeypatch.setattr(node.Node, "npm", lambda *_: npm)
    with pytest.raises(DeployError) as e:
        toolchain.ready_pnpm(node.find(), "9.0.1", tmp_path / "tools", process.base_environment(PATH="/bin"))
    assert e.value.code is Code.DISK_FULL
    assert str(tmp_path / "tools") in e.value.message
    assert "PATH" not in e.value.hint
