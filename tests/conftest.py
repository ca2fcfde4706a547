"""What every test gets: a home, a cache and a working folder of its own, and nobody's settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# What would let a test depend on the machine's user, or touch a real workspace.
_FOREIGN_PREFIXES = ("DATABRICKS_", "METAMCP_", "LAKEBASE_", "PG", "BETTER_AUTH", "OIDC_", "GIT_", "ARM_")
_FOREIGN = (
    "APP_NAME",
    "TARGET",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "NODE_OPTIONS",
    "FORCE_COLOR",
)
# How this machine reaches its package registries: the one thing taken over from the user's home.
_NPMRC = Path.home() / ".npmrc"


@pytest.fixture(scope="session")
def test_upstream() -> Path:
    """The clone of the real upstream that METAMCP_TEST_UPSTREAM names; left out, and saying so, without."""
    named = os.environ.get("METAMCP_TEST_UPSTREAM")
    if not named:
        pytest.skip("METAMCP_TEST_UPSTREAM names no clone of the real upstream")
    return Path(named)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session: package store, pnpm, mirrors. METAMCP_TEST_CACHE names one to keep."""
    kept = os.environ.get("METAMCP_TEST_CACHE")
    return Path(kept).absolute() if kept else tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def isolated(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, shared_cache: Path
) -> Path:
    """An empty home and environment; returns the home."""
    home = tmp_path_factory.mktemp("home")
    if _NPMRC.is_file():
        (home / ".npmrc").write_bytes(_NPMRC.read_bytes())
    for name in list(os.environ):
        if name == "METAMCP_TEST_UPSTREAM":
            continue
        if name.startswith(_FOREIGN_PREFIXES) or name.upper() in _FOREIGN:
            monkeypatch.delenv(name)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("METAMCP_CACHE_DIR", str(shared_cache))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    return home


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, which is also the current one."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path
