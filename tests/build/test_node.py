import os
from pathlib import Path

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import node


def program(folder: Path, says: str, name: str = "node") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("version", ["20.0.0", "22.16.0", "24.11.1"])
def test_takes_a_suitable_node_on_path(tmp_path: Path, version: str) -> None:
    found = node.find(program(tmp_path / "bin", f"echo v{version}"), extra=False)
    assert (found.version, found.origin) == (version, "on PATH")


def test_passes_over_unsuitable_ones_before_it(tmp_path: Path) -> None:
    folders = [
        program(tmp_path / "old", "echo v18.20.1"),
        program(tmp_path / "odd", "echo hello"),
        program(tmp_path / "broken", "exit 3"),
        program(tmp_path / "good", "echo v22.1.0"),
        program(tmp_path / "later", "echo v20.1.0"),
    ]
    assert node.find(os.pathsep.join(folders), extra=False).program == tmp_path / "good" / "node"


@pytest.mark.parametrize("version", ["18.20.1", "25.0.0"])
def test_too_old_and_too_new_are_named(tmp_path: Path, version: str) -> None:
    with pytest.raises(DeployError) as e:
        node.find(program(tmp_path / "bin", f"echo v{version}"), extra=False)
    assert e.value.code is Code.TOOL_MISSING
    assert version in (e.value.detail or "")
    assert "pip install 'metamcp-deploy[local]'" in e.value.hint


def test_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="there is none on PATH") as e:
        node.find(str(tmp_path), extra=False)
    assert e.value.code is Code.TOOL_MISSING


def test_the_extras_node_serves_when_path_has_none(tmp_path: Path) -> None:
    found = node.find(str(tmp_path))
    assert found.version.startswith("22.")
    assert "extra" in found.origin
    assert Path(found.npm(str(tmp_path))[1]).name == "npm-cli.js"


def test_a_node_without_npm_takes_the_one_on_path(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "echo 10.9.0", "npm")
    lonely = node.Node(tmp_path / "elsewhere" / "bin" / "node", "22.1.0", "on PATH")
    assert lonely.npm(path) == [lonely.program, tmp_path / "bin" / "npm"]
