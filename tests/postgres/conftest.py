"""One cluster for the tests that only need some running cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metamcp_deploy.postgres import Cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.throwaway() as running:
        yield running
