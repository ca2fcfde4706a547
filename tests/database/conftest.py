"""An embedded workspace with a deployed app whose database is as MetaMCP's migrations leave it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from psycopg import sql

from metamcp_deploy import local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.release.archive import Entry
from metamcp_deploy.stages import app_deploy, bundle_deploy
from metamcp_deploy.target import session
from metamcp_deploy.target.site import Site
from metamcp_deploy.workspace.apps import App
from tests.deploy.tiny_app import settings, write_bundle
from tests.embedded_people import owner

SCHEMA = "metamcp_app"
# As the patches leave upstream's: qualified and quoted. The second one is later than the first.
MIGRATIONS = {
    "0000_begin": (
        1_700_000_000_000,
        f"""CREATE TYPE "{SCHEMA}"."status" AS ENUM('up', 'down');--> statement-breakpoint
CREATE TABLE "{SCHEMA}"."endpoints" (uuid int PRIMARY KEY, name text, status "{SCHEMA}"."status");""",
    ),
    "0001_more": (
        1_700_000_100_000,
        f"""CREATE TABLE "{SCHEMA}"."servers"
(id serial PRIMARY KEY, endpoint int REFERENCES "{SCHEMA}"."endpoints");""",
    ),
}
LEDGER = "CREATE TABLE {}.__drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)"


def archived(names: tuple[str, ...] = tuple(MIGRATIONS)) -> list[Entry]:
    """The migrations of a release, as `build` packs them."""
    entries = [{"idx": n, "tag": name, "when": MIGRATIONS[name][0]} for n, name in enumerate(names)]
    listed = Entry("drizzle/meta/_journal.json", json.dumps({"entries": entries}).encode())
    return [listed, *(Entry(f"drizzle/{name}.sql", MIGRATIONS[name][1].encode()) for name in names)]


@dataclass(frozen=True)
class World:
    """A deployed app."""

    project: Project
    site: Site
    running: local.Running

    @property
    def app(self) -> App:
        return self.site.workspace.apps.get(self.project.settings.app.name)

    @property
    def role(self) -> str:
        return self.app.principal

    @contextmanager
    def superuser(self, role: str | None = None) -> Iterator[psycopg.Connection[Any]]:
        """A connection past all rules to the app's database, acting as `role`."""
        status = requests.get(
            f"{self.running.url}/local/status", headers=owner(self.running), timeout=60
        ).json()
        uri = status["superuser_uris"][self.physical]
        with psycopg.connect(uri, autocommit=True) as connection:
            if role:
                connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            yield connection

    @property
    def physical(self) -> str:
        """What the one Postgres calls the app's database."""
        from metamcp_deploy.database import connection

        with connection.connect(self.site, self.app, timeout=20) as made:
            found = made.execute("SELECT current_database()").fetchone()
        assert found
        return str(found[0])

    def migrate(self, names: tuple[str, ...] = tuple(MIGRATIONS), role: str | None = None) -> None:
        """What the migrator does at the app's start, as the app's principal."""
        name = sql.Identifier(SCHEMA)
        with self.superuser(role or self.role) as made:
            made.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            made.execute(sql.SQL(LEDGER).format(name))
            for one in names:
                when, text = MIGRATIONS[one]
                made.execute(text.encode())
                row = hashlib.sha256(text.encode()).hexdigest(), when
                insert = sql.SQL("INSERT INTO {}.__drizzle_migrations (hash, created_at) VALUES (%s, %s)")
                made.execute(insert.format(name), row)

    def forget(self) -> None:
        """The database as it was before the first start."""
        with self.superuser() as made:
            made.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))
            made.execute("DROP TABLE IF EXISTS public.endpoints, public.servers")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[Project]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAMCP_CACHE_DIR", str(shared_cache))
        project = Project(tmp_path_factory.mktemp("database"), settings())
        local.up(project, instances=True)
        yield project
        local.reset(project)


@pytest.fixture(scope="session")
def deploying(base: Project) -> Callable[..., World]:
    """Deploys a tiny app with such a section `database`."""

    def deploy(name: str, **database: Any) -> World:
        wanted = settings(app={"name": name}, **({"database": database} if database else {}))
        project = replace(base, settings=wanted, all_targets=(wanted,))
        for path in project.state.glob("*"):
            path.unlink()
        write_bundle(project, journal=tuple(MIGRATIONS), migrations=archived(), schema=SCHEMA)
        for step in (
            bundle_deploy.step(project, bundle_deploy.Wishes()),
            app_deploy.step(project, app_deploy.Wishes()),
        ):
            pipeline.execute(step, project.state)
        return World(project, session.site(project), local.reached(project))

    return deploy


@pytest.fixture(scope="session")
def autoscaling(deploying: Callable[..., World]) -> World:
    return deploying("scaling")


@pytest.fixture
def world(autoscaling: World) -> Iterator[World]:
    """The app with its schema, each time anew."""
    autoscaling.migrate()
    yield autoscaling
    autoscaling.forget()


@pytest.fixture(scope="session")
def provisioned(base: Project, deploying: Callable[..., World]) -> World:
    workspace = session.connect(base)
    workspace.instances.create("instanced", {"capacity": "CU_1"})
    workspace.instances.available("instanced", 60)
    return deploying("instanced", kind="provisioned", instance="instanced")


@pytest.fixture(scope="session")
def outside(base: Project, deploying: Callable[..., World]) -> World:
    """An app with a database of kind external: another database of the same server, by its superuser."""
    workspace = session.connect(base)
    workspace.secrets.create_scope("outside")
    workspace.secrets.put("outside", "DB_URL", Secret("postgresql://a:b@c/d"))
    return deploying("outside", kind="external", url={"secret": "DB_URL"})


@pytest.fixture
def external_url(outside: World) -> Callable[..., World]:
    """The external app once its URL has these parameters, and this password in place of the right one."""

    def put(parameters: str, password: str | None = None) -> World:
        running = outside.running
        status = requests.get(f"{running.url}/local/status", headers=owner(running), timeout=60).json()
        url = urlsplit(status["superuser_uris"]["postgres"])
        login = f"{url.username}:{password or url.password}"
        text = f"postgresql://{login}@{url.hostname}:{url.port}{url.path}{parameters}"
        outside.site.workspace.secrets.put("outside", "DB_URL", Secret(text))
        return outside

    return put


@pytest.fixture
def external(external_url: Callable[..., World]) -> World:
    return external_url("?sslmode=disable")
