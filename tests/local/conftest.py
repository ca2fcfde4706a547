"""Embedded workspaces for tests: one for all, or one of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metamcp_deploy import local
from tests.local.embedded_world import World, world_in


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("METAMCP_CACHE_DIR", str(shared_cache))
        made = world_in(tmp_path_factory.mktemp("workspace"))
    yield made
    local.reset(made.project)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """A workspace of the test's own, for what stops or kills it."""
    made = world_in(tmp_path)
    yield made
    local.reset(made.project)
