"""Trees, patches and projects for the tests of patches."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from metamcp_deploy.config.project import Project
from metamcp_deploy.patches import declaration, tree
from metamcp_deploy.postgres import Cluster
from metamcp_deploy.upstream.sample import TAG, sample_repository
from tests.patches.patch_helpers import PatchMaker, prepared


@pytest.fixture
def patch_of(tmp_path: Path) -> PatchMaker:
    """Makes a user's patch from the YAML of its `files:`."""

    def make(files: str, name: str = "mine") -> declaration.Patch:
        folder = tmp_path / "patches"
        folder.mkdir(exist_ok=True)
        head = "what: w\nwhy: y\nupstream: never\nverified: v\nfiles:\n"
        (folder / f"{name}.yaml").write_text(head + textwrap.indent(textwrap.dedent(files), "  "))
        return next(p for p in declaration.load(folder) if p.id == name)

    return make


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample upstream as a git repository."""
    return sample_repository(tmp_path_factory.mktemp("sample"))


@pytest.fixture
def sample_tree(sample: Path, tmp_path: Path) -> Path:
    """The files of the sample's commit."""
    folder = tmp_path / "upstream"
    tree.export(sample, TAG, folder)
    return folder


@pytest.fixture
def project(sample: Path, folder: Path) -> Project:
    """A working folder in which `prepare` has run on the sample."""
    return prepared(folder, sample, TAG)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL for the session."""
    with Cluster.throwaway() as running:
        yield running
