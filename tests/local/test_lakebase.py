"""The embedded Lakebase as its clients see it: real Postgres, real psycopg, real TLS."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.lakebase.server import Lakebase
from metamcp_deploy.postgres import Cluster


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Shared:
    """One embedded Lakebase for the tests of this module, in an event loop of its own: initdb is what takes time."""

    runner: asyncio.Runner
    lakebase: Lakebase
    clock: Clock
    numbers: Iterator[int]

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        self.runner.run(scenario)


def sharing(folder: Path, **how: Any) -> Iterator[Shared]:
    clock = Clock()
    running = Lakebase(folder, clock=clock, cluster=Cluster(folder / "pg", durable=False), **how)
    with asyncio.Runner() as runner:
        try:
            runner.run(running.start())
            yield Shared(runner, running, clock, count(1))
        finally:
            runner.run(running.stop())
            running.cluster.remove()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    yield from sharing(tmp_path_factory.mktemp("lakebase"))


@pytest.fixture(scope="module")
def shared_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    yield from sharing(tmp_path_factory.mktemp("lakebase-tls"), tls=True)


@dataclass
class App:
    """A database, the principal that may use it, and a database that it may not."""

    shared: Shared
    database: str
    principal: str
    other: str

    def token(self, ttl: float = 3600) -> str:
        return self.shared.lakebase.issue_credential(self.principal, ttl).token.reveal()

    async def connect(self, password: str | None = None, **how: Any) -> Any:
        running = self.shared.lakebase
        values = {"user": self.principal, "dbname": self.database, "sslmode": running.sslmode, **how}
        password = self.token() if password is None else password
        return await psycopg.AsyncConnection.connect(
            host=running.host, port=running.port, password=password, autocommit=True, **values
        )

    async def refusal(self, password: str | None = None, **how: Any) -> str:
        with pytest.raises(psycopg.OperationalError) as caught:
            await self.connect(password, **how)
        return str(caught.value)


async def an_app(shared: Shared) -> App:
    n = next(shared.numbers)
    app = App(shared, f"app_db_{n}", f"app-{n}", f"other_db_{n}")
    await shared.lakebase.catalog.create_database(app.database)
    await shared.lakebase.catalog.create_database(app.other)
    await shared.lakebase.catalog.ensure_role(app.principal)
    await shared.lakebase.catalog.grant(app.principal, app.database)
    return app


@asynccontextmanager
async def superuser(shared: Shared, database: str) -> AsyncIterator[Any]:
    uri = shared.lakebase.superuser_uri(database).reveal()
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as session:
        yield session


async def sqlstate(session: Any, statement: str) -> str | None:
    try:
        await session.execute(statement)
    except psycopg.Error as e:
        return e.sqlstate
    return None


async def value(session: Any, query: str) -> Any:
    return (await (await session.execute(query)).fetchone())[0]


OWN_TABLE = "CREATE SCHEMA own; CREATE TABLE own.t AS SELECT 42 AS answer"


def test_a_principal_may_create_schemas_and_nothing_in_public(shared: Shared) -> None:
    async def scenario() -> None:
        app = await an_app(shared)
        async with await app.connect() as session:
            assert await value(session, "SELECT current_user") == app.principal
            # As on the platform: 42501 "permission denied for schema public", not "no schema selected".
            assert await sqlstate(session, "CREATE TABLE t (a int)") == "42501"
            assert await sqlstate(session, 'CREATE TYPE "public"."e" AS ENUM (\'a\')') == "42501"
            assert await sqlstate(session, "CREATE SCHEMA own") is None
            assert await sqlstate(session, "CREATE TABLE own.t (a int)") is None
            assert (
                await value(session, "SELECT tableowner FROM pg_tables WHERE tablename = 't'")
                == app.principal
            )
            for statement in ("CREATE DATABASE x", "CREATE ROLE x", "COPY own.t FROM PROGRAM 'id'"):
                assert await sqlstate(session, statement) == "42501"

    shared.run(scenario())


def test_it_may_connect_nowhere_else(shared: Shared) -> None:
    async def scenario() -> None:
        app = await an_app(shared)
        logins = shared.lakebase.logins
        before = (logins.ok, logins.failed)
        for database in (app.other, "postgres", "template1"):
            assert f'permission denied for database "{database}"' in await app.refusal(dbname=database)
        assert 'database "nowhere" does not exist' in await app.refusal(dbname="nowhere")
        await shared.lakebase.catalog.revoke(app.principal, app.database)
        assert "permission denied for database" in await app.refusal()
        # The password was right each time: CONNECT is checked after it.
        assert (logins.ok, logins.failed) == (before[0] + 5, before[1])

    shared.run(scenario())


def test_several_credentials_at_once_each_with_its_own_end(shared: Shared) -> None:
    async def scenario() -> None:
        app, clock, logins = await an_app(shared), shared.clock, shared.lakebase.logins
        ok, failed = logins.ok, logins.failed
        short = shared.lakebase.issue_credential(app.principal, 10)
        long = shared.lakebase.issue_credential(app.principal, 100)
        assert (short.expires_at, long.expires_at) == (clock.now + 10, clock.now + 100)
        async with await app.connect(short.token.reveal()) as open_session:
            clock.now += 10
            said = await app.refusal(short.token.reveal())
            assert f'password authentication failed for user "{app.principal}"' in said
            assert await value(open_session, "SELECT 1") == 1  # checked at login only
            await (await app.connect(long.token.reveal())).close()
            clock.now += 90
            await app.refusal(long.token.reveal())
            assert await value(open_session, "SELECT 1") == 1
        assert (logins.ok, logins.failed) == (ok + 2, failed + 2)

    shared.run(scenario())


def test_a_credential_is_its_principals_alone(shared: Shared) -> None:
    async def scenario() -> None:
        app, other = await an_app(shared), await an_app(shared)
        await shared.lakebase.catalog.grant(other.principal, app.database)
        token = app.token()
        for user in (other.principal, "nobody", "postgres", app.principal + " ", app.principal.upper()):
            said = await app.refusal(token, user=user)
            assert f'password authentication failed for user "{user}"' in said
        for wrong in ("x", token + "x", "x" * 60_000):
            assert "password authentication failed" in await app.refusal(wrong)

    shared.run(scenario())


def test_a_token_without_a_role_is_refused_like_a_wrong_password(shared: Shared) -> None:
    async def scenario() -> None:
        app = await an_app(shared)
        token = shared.lakebase.issue_credential("ghost", 60).token.reveal()
        assert 'authentication failed for user "ghost"' in await app.refusal(token, user="ghost")

    shared.run(scenario())


def test_everything_can_be_asked_for_twice(shared: Shared) -> None:
    async def scenario() -> None:
        app, lakebase = await an_app(shared), shared.lakebase
        assert await lakebase.catalog.create_database(app.database) is False
        assert await lakebase.catalog.create_database("new_db") is True
        await lakebase.catalog.ensure_role(app.principal)
        await lakebase.catalog.grant(app.principal, app.database)
        await (await app.connect()).close()
        for _ in range(2):
            await lakebase.catalog.drop_database("new_db")

    shared.run(scenario())


def test_dropping_a_database_ends_its_sessions(shared: Shared) -> None:
    async def scenario() -> None:
        app = await an_app(shared)
        session = await app.connect()
        await shared.lakebase.catalog.drop_database(app.database)
        with pytest.raises(psycopg.OperationalError):
            await session.execute("SELECT 1")
        await session.close()

    shared.run(scenario())


@pytest.mark.parametrize("name", ['quo"te', "per%s cent", "dash-and.dot", "ünï", "a" * 63])
def test_names_are_quoted(shared: Shared, name: str) -> None:
    async def scenario() -> None:
        lakebase = shared.lakebase
        await lakebase.catalog.create_database(name)
        await lakebase.catalog.ensure_role(name)
        await lakebase.catalog.grant(name, name)
        async with await App(shared, name, name, "").connect() as session:
            assert await value(session, "SELECT current_user || current_database()") == name * 2
        await lakebase.catalog.drop_database(name)

    shared.run(scenario())


def test_what_postgres_refuses_is_told(shared: Shared) -> None:
    async def scenario() -> None:
        with pytest.raises(DeployError, match=r'role "nobody" does not exist') as caught:
            await shared.lakebase.catalog.grant("nobody", "postgres")
        assert caught.value.code is Code.POSTGRES_FAILED

    shared.run(scenario())


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture, shared: Shared) -> None:
    async def scenario() -> None:
        app, lakebase = await an_app(shared), shared.lakebase
        token = lakebase.issue_credential(app.principal, 60).token
        internal = lakebase.catalog.internal_password(app.principal)
        secrets = [s.reveal() for s in (token, internal, lakebase.cluster.password())]
        await (await app.connect(secrets[0])).close()
        await app.refusal("wrong-" + secrets[0])
        with pytest.raises(DeployError):
            await lakebase.catalog.ensure_role("pg_reserved")  # the statement lands in the server's log
        text = caplog.text + lakebase.cluster.log.read_text() + repr(token) + str(lakebase.superuser_uri())
        assert not [s for s in secrets if s in text]
        assert f'password authentication failed for user "{app.principal}"' in caplog.text

    caplog.set_level("DEBUG")
    shared.run(scenario())


def test_twenty_clients_at_once(shared: Shared) -> None:
    async def scenario() -> None:
        app = await an_app(shared)

        async def one(n: int) -> int:
            async with await app.connect() as session:
                return int(await value(session, f"SELECT {n}"))

        assert await asyncio.gather(*(one(n) for n in range(20))) == list(range(20))

    shared.run(scenario())


def test_a_long_query_is_cancelled_from_another_connection(shared: Shared) -> None:
    async def scenario() -> None:
        app = await an_app(shared)
        async with await app.connect() as session:
            sleeping = asyncio.ensure_future(session.execute("SELECT pg_sleep(600)"))
            await asyncio.sleep(0.05)
            await session.cancel_safe(timeout=120)
            with pytest.raises(psycopg.errors.QueryCanceled):
                await sleeping
            assert await value(session, "SELECT 1") == 1

    shared.run(scenario())


def test_tls_on_request_and_then_required(shared_tls: Shared) -> None:
    async def scenario() -> None:
        lakebase = shared_tls.lakebase
        assert lakebase.sslmode == "require"
        app = await an_app(shared_tls)
        async with await app.connect(sslmode="verify-full", sslrootcert=str(lakebase.ca_file)) as session:
            assert session.pgconn.ssl_in_use
            # More than the buffers on the way hold, in both directions.
            big = "x" * 3_000_000
            assert await (await session.execute("SELECT %s::text", (big,))).fetchone() == (big,)
        assert "no encryption" in await app.refusal(sslmode="disable")
        async with superuser(shared_tls, app.database) as session:
            assert session.pgconn.ssl_in_use

    shared_tls.run(scenario())


def test_state_port_and_authority_survive_a_restart_and_tokens_do_not(shared_tls: Shared) -> None:
    async def scenario() -> None:
        app, lakebase = await an_app(shared_tls), shared_tls.lakebase
        assert lakebase.ca_file
        token = app.token()
        async with await app.connect(token) as session:
            await session.execute(OWN_TABLE)
        before = (lakebase.port, lakebase.ca_file.read_bytes(), lakebase.superuser_uri().reveal())
        await lakebase.stop()
        assert lakebase.port == 0
        again = Lakebase(lakebase.cluster.home.parent, tls=True, cluster=Cluster(lakebase.cluster.home))
        await again.start(before[0])
        shared_tls.lakebase = again
        try:
            assert again.ca_file
            assert (again.port, again.ca_file.read_bytes(), again.superuser_uri().reveal()) == before
            assert "password authentication failed" in await app.refusal(token)
            async with await app.connect(sslmode="verify-full", sslrootcert=str(again.ca_file)) as session:
                assert await value(session, "SELECT answer FROM own.t") == 42
        finally:
            await again.stop()
            shared_tls.lakebase = lakebase
            await lakebase.start()

    shared_tls.run(scenario())


def test_a_damaged_authority_is_told_and_its_key_is_private(shared_tls: Shared) -> None:
    authority = shared_tls.lakebase._authority
    assert authority
    key = authority.ca_file.with_name("ca.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    kept = key.read_bytes()
    try:
        key.write_text("damaged")
        with pytest.raises(DeployError) as caught:
            authority.server_context("127.0.0.1")
        assert caught.value.code is Code.LOCAL_FAILED
    finally:
        key.write_bytes(kept)


def test_a_taken_port_leaves_nothing_running(tmp_path: Path) -> None:
    async def scenario() -> None:
        other = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        running = Lakebase(tmp_path)
        with pytest.raises(DeployError) as caught:
            await running.start(port)
        assert caught.value.code is Code.PORT_TAKEN
        assert str(port) in caught.value.message
        assert not running.cluster.running()
        running.cluster.remove()
        other.close()

    asyncio.run(scenario())
