"""Apps that run in embedded workspaces: the sample, and the real upstream where METAMCP_TEST_UPSTREAM names a clone.

METAMCP_TEST_REF names the tag, branch or commit of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metamcp_deploy.upstream.sample import TAG, sample_repository
from tests.live.live_app import LiveApp

NPMRC = Path.home() / ".npmrc"
REF = os.environ.get("METAMCP_TEST_REF", "v2.4.22")  # asked for before a test takes such names away


@pytest.fixture(scope="session", params=["sample", REF])
def upstream(request: pytest.FixtureRequest, shared_cache: Path) -> dict[str, str]:
    """What metamcp.yaml says about the upstream."""
    if request.param == "sample":
        request.getfixturevalue(
            "built_sample"
        )  # its release is in the cache then, and deployments build nothing
        return {"url": str(sample_repository(shared_cache)), "ref": TAG}
    named = os.environ.get("METAMCP_TEST_UPSTREAM")
    if not named:
        pytest.skip("METAMCP_TEST_UPSTREAM names no clone of the real upstream")
    return {"url": named, "ref": str(request.param)}


@pytest.fixture(scope="module")
def live(
    upstream: dict[str, str], shared_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], LiveApp]]:
    """Makes apps, not yet deployed, which end with the module."""
    made: list[LiveApp] = []

    def make() -> LiveApp:
        home = tmp_path_factory.mktemp("home")
        if NPMRC.is_file():
            shutil.copy(NPMRC, home)
        kept = {
            k: v
            for k, v in os.environ.items()
            if k in ("PATH", "LANG", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
        }
        env = {**kept, "HOME": str(home), "METAMCP_CACHE_DIR": str(shared_cache), "NO_COLOR": "1"}
        made.append(LiveApp(tmp_path_factory.mktemp("live"), env, upstream))
        return made[-1]

    yield make
    for app in made:
        app.reset()
