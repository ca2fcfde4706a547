"""Working folders of configuration tests."""

from pathlib import Path

import pytest

from tests.config.working import TARGETS, Work


@pytest.fixture
def work(folder: Path) -> Work:
    """An empty folder."""
    return Work(folder.resolve())


@pytest.fixture
def two_targets(work: Work) -> Work:
    """A folder whose file names dev and prod."""
    return work.yaml(TARGETS)
