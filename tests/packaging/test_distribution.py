"""What is published: the sdist, the wheel made from it, and the tool running from that wheel alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of this checkout and the wheel built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def installed(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content in a folder of its own, far from the checkout."""
    site = tmp_path_factory.mktemp("site")
    (wheel,) = distributions.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return site


def from_wheel(site: Path, folder: Path, *words: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_hold_all_that_the_tool_needs(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    (sdist,) = distributions.glob("*.tar.gz")
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    for folder in ("templates", "overrides"):
        shipped = [p.relative_to(ROOT) for p in (ROOT / folder).rglob("*") if p.is_file()]
        assert shipped
        assert {f"metamcp_deploy/_shipped/{p}" for p in shipped} <= in_wheel
        assert {str(p) for p in shipped} <= in_sdist
    for needed in (
        "sample/pnpm-lock.yaml",
        "launcher/start.mjs",
        "patches/builtin/schema.yaml",
        "knowledge/git/git-tls.yaml",
    ):
        assert f"metamcp_deploy/{needed}" in in_wheel
    assert {"LICENSE", "README.md", "CHANGELOG.md", "tests/conftest.py"} <= in_sdist
    assert not [n for n in in_wheel | in_sdist if "__pycache__" in n or "node_modules" in n]


def test_it_patches_the_sample_from_the_wheel(installed: Path, folder: Path) -> None:
    code = (
        "import metamcp_deploy; from metamcp_deploy.stages import demo\n"
        "print(metamcp_deploy.__file__); print(*demo.flags().values())"
    )
    where, values = from_wheel(installed, folder, "-c", code).splitlines()
    assert Path(where).is_relative_to(installed)
    url, ref = values.split(" ")
    tool = ("-m", "metamcp_deploy")
    from_wheel(installed, folder, *tool, "prepare", "-t", "local", "--url", url, "--ref", ref)
    pinned = ("--set", f"upstream.url={url}", "--set", f"upstream.ref={ref}")
    from_wheel(installed, folder, *tool, "patch", "-t", "local", *pinned)
    schema = (folder / "build/metamcp/apps/backend/src/db/schema.ts").read_text()
    assert 'pgSchema("metamcp_app")' in schema
    assert (folder / "build/metamcp/apps/backend/src/databricks/migrate.ts").is_file()


def test_init_and_help_work_from_the_wheel(installed: Path, folder: Path) -> None:
    from_wheel(installed, folder, "-m", "metamcp_deploy", "init")
    assert (folder / "metamcp.yaml").is_file()
    assert "deploy" in from_wheel(installed, folder, "-m", "metamcp_deploy", "--help")
