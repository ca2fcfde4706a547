"""What every test gets: a home, a cache and a working folder of its own, and nobody's settings."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.model import Settings, Upstream
from metamcp_deploy.config.project import Project

# Programs started from a shell's background job ignore Ctrl-C, and so would those that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

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
# Folders and modules whose tests share what takes seconds to make: processes that run them beside each other would make
# it once each.
_SHARING = frozenset(
    {
        *("acceptance", "database", "live", "packaging"),
        *("test_artifact", "test_source_maps", "test_migrate", "test_failure_seen", "test_branches"),
        *(
            "test_reproducible",
            "test_served",
            "test_app_proxy",
            "test_logstream",
            "test_lakebase",
            "test_door",
        ),
    }
)
# How this machine reaches its package registries: the one thing taken over from the user's home.
_NPMRC = Path.home() / ".npmrc"


# Tests write and delete a hundred thousand small files, which takes a disk minutes. In memory it takes seconds.
_MEMORY = Path("/dev/shm")
_PREFIX = "metamcp-deploy-tests-"
_ROOM = 8 << 30  # bytes that a run may need


def pytest_configure(config: pytest.Config) -> None:
    """Puts temporary files in memory where there is room, unless TMPDIR or --basetemp says where."""
    if "TMPDIR" in os.environ or config.option.basetemp or not _room():
        return
    for left in _MEMORY.glob(f"{_PREFIX}*"):  # of runs that failed or were killed
        if not Path("/proc", left.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    chosen = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY))
    chosen.chmod(0o1777)  # where root runs the tests, some programs run as another user
    os.environ["TMPDIR"], tempfile.tempdir = str(chosen), None
    config.stash[_IN_MEMORY] = chosen


_IN_MEMORY = pytest.StashKey[Path]()


def _room() -> bool:
    """Whether memory and its file system have room for a run and for what it starts."""
    if not os.access(_MEMORY, os.W_OK):
        return False
    free = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())["MemAvailable"]
    return shutil.disk_usage(_MEMORY).free >= _ROOM and int(free.split()[0]) * 1024 >= 2 * _ROOM


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Frees the memory; after a failure the files stay until the next run, to be looked at."""
    chosen = session.config.stash.get(_IN_MEMORY, None)
    if chosen is None:
        return
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        shutil.rmtree(chosen, ignore_errors=True)
    else:
        print(f"\nTemporary files of this run are in {chosen}")


def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`, two more than there are cores: much of the time, tests wait for programs they started."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes one begins to build the sample, and the others run tests that do without it meanwhile.

    Those that need it come before the last two thirds of the others: they take long, and would be alone at the end.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        builder = next((item for item in items if "built_sample" in getattr(item, "fixturenames", ())), None)
        others = [item for item in items if not _needs_the_sample(item) and _folder(item) != "launcher"]
        meanwhile = set(map(id, others[: len(others) // 3]))

        def turn(item: pytest.Item) -> int:
            if item is builder:
                return 0
            if _needs_the_sample(item):
                return 3
            return 1 if _folder(item) == "launcher" else 2 if id(item) in meanwhile else 4

        items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Shares the tests out one by one, and those of a module that shares something expensive together.

    xdist's own groups (`--dist loadgroup`) change node ids in a way that pytest 9.2 ignores.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = Path(nodeid.partition("::")[0])
            return str(module) if {module.parent.name, module.stem} & _SHARING else nodeid

    config.option.loadscopereorder = False  # the order is `pytest_collection_modifyitems`'
    return Scheduler(config, log)


def _folder(item: pytest.Item) -> str:
    return item.path.parent.name


def _needs_the_sample(item: pytest.Item) -> bool:
    """By its fixtures; or it runs commands that build what the sample's build leaves in the cache."""
    by_itself = _folder(item) in ("live", "acceptance") or item.path.stem == "test_as_next"
    return by_itself or "built_sample" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def test_upstream() -> Path:
    """The clone of the real upstream that METAMCP_TEST_UPSTREAM names; left out, and saying so, without."""
    named = os.environ.get("METAMCP_TEST_UPSTREAM")
    if not named:
        pytest.skip("METAMCP_TEST_UPSTREAM names no clone of the real upstream")
    return Path(named)


@pytest.fixture(scope="session")
def tmp_path_factory(tmp_path_factory: pytest.TempPathFactory) -> pytest.TempPathFactory:
    """pytest's own; others may pass through its folders, so that PostgreSQL's data need not lie elsewhere."""
    make = tmp_path_factory.mktemp

    def passable(basename: str, numbered: bool = True) -> Path:
        path = make(basename, numbered)
        path.chmod(0o711)
        return path

    own = tmp_path_factory.getbasetemp()
    for folder in (own, *own.parents):
        if folder == Path(tempfile.gettempdir()).resolve():
            break
        folder.chmod(0o711)
    tmp_path_factory.mktemp = passable  # type: ignore[method-assign]
    return tmp_path_factory


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the session, also where several processes share the tests (`pytest -n`)."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def shared_cache(session_folder: Path) -> Path:
    """One cache for the session: package store, pnpm, mirrors. METAMCP_TEST_CACHE names one to keep."""
    kept = os.environ.get("METAMCP_TEST_CACHE")
    cache = Path(kept).absolute() if kept else session_folder / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


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


@contextmanager
def building(home: Path, cache: Path) -> Iterator[None]:
    """The environment of fixtures that outlive a test, for which `isolated` has not run yet. One process at a time."""
    if _NPMRC.is_file():
        shutil.copy(_NPMRC, home)
    with (cache / ".building").open("w") as lock, pytest.MonkeyPatch.context() as patched:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patched.setenv("HOME", str(home))
        patched.setenv("METAMCP_CACHE_DIR", str(cache))
        yield


@pytest.fixture(scope="session")
def built_sample(
    tmp_path_factory: pytest.TempPathFactory, shared_cache: Path, session_folder: Path
) -> Project:
    """The sample, prepared, patched and built: nobody may change its folder (see `workshop`).

    Whichever process comes first builds it; the others find it up to date. After it, the shared cache holds the
    release: whoever builds the sample with this cache builds nothing.
    """
    from metamcp_deploy.stages import build, patch, prepare
    from metamcp_deploy.upstream.sample import TAG, sample_repository

    with building(tmp_path_factory.mktemp("home"), shared_cache):
        upstream = Upstream(url=str(sample_repository(shared_cache)), ref=TAG)
        settings = Settings(target="dev", upstream=upstream)
        folder = session_folder / "sample"
        folder.mkdir(exist_ok=True)
        project = Project(folder=folder, settings=settings, all_targets=(settings,))
        for stage in (prepare, patch, build):
            pipeline.execute(stage.step(project), project.state)
    return project


@pytest.fixture(scope="session")
def built_work(
    built_sample: Project, tmp_path_factory: pytest.TempPathFactory, shared_cache: Path
) -> Project:
    """The built sample, with what the build worked on even where the release came from a cache that was kept."""
    from metamcp_deploy.stages import build

    if pipeline.facts(built_sample.state, "build", "a test")["cached"]:
        with building(tmp_path_factory.mktemp("home"), shared_cache):
            again = build.step(built_sample, build.Wishes(clean=True))
            pipeline.execute(again, built_sample.state, force="for its work folder")
    return built_sample


@pytest.fixture
def workshop(built_work: Project, tmp_path: Path) -> Project:
    """A copy of the built sample to work on. Files are shared by links: replace them, never write into them."""
    folder = tmp_path / "workshop"
    shutil.copytree(built_work.folder, folder, symlinks=True, copy_function=os.link)
    return Project(folder=folder, settings=built_work.settings, all_targets=built_work.all_targets)


@pytest.fixture
def emitted() -> Iterator[list[events.Event]]:
    """All events of the test."""
    seen: list[events.Event] = []
    with events.listening(seen.append):
        yield seen


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, which is also the current one."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path
