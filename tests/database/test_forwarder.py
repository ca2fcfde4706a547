"""The way of PostgreSQL's programs to a server that wants TLS, and of psycopg: a real Postgres behind real TLS."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import connection, forwarder, tools
from metamcp_deploy.database.server import Login, Server
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.lakebase.server import Lakebase
from metamcp_deploy.postgres import Cluster, binaries
from metamcp_deploy.workspace.clock import Clock


@dataclass(frozen=True)
class Far:
    """A server that takes TLS only, with a certificate of its own authority for localhost and 127.0.0.1."""

    server: Server
    login: Login
    trusted: Path


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("far")
    running = Lakebase(folder, tls=True, cluster=Cluster(folder / "pg", durable=False))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(running.start(), loop).result(60)
    assert running.ca_file is not None
    login = Login("postgres", running.cluster.password(), minted=False)
    yield Far(Server("external", "far", "localhost", running.port, "postgres"), login, running.ca_file)
    asyncio.run_coroutine_threadsafe(running.stop(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    running.cluster.remove()


def psql(far: Far, trusted: Path) -> subprocess.CompletedProcess[str]:
    with forwarder.opened(far.server, far.login, trusted) as door:
        assert stat.S_IMODE(door.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((door.folder / "password").stat().st_mode) == 0o600
        words = [str(tools.program("psql", 16)), "-tAc", "SELECT repeat('x', 3000000)"]
        env = {**binaries.ENVIRONMENT, **door.environment}
        assert far.login.password.reveal() not in str(env) + str(words)
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert not door.folder.exists()
    return done


def test_programs_without_tls_reach_a_server_with_it(far: Far) -> None:
    done = psql(far, far.trusted)
    assert (done.returncode, len(done.stdout.strip())) == (0, 3_000_000), done.stderr


def test_a_certificate_that_is_not_trusted_ends_it(far: Far, foreign: Path) -> None:
    done = psql(far, foreign)
    assert done.returncode == 2
    assert "certificate verify failed" in done.stderr
    other = replace(far, server=replace(far.server, host="localhost.localdomain"))
    assert psql(other, far.trusted).returncode == 2


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import trustme

    path = tmp_path_factory.mktemp("foreign") / "ca.pem"
    path.write_bytes(trustme.CA().cert_pem.bytes())
    return path


def test_psycopg_checks_the_same(far: Far, foreign: Path) -> None:
    def open_(trusted: Path) -> psycopg.Connection[Any]:
        network = SimpleNamespace(trust=SimpleNamespace(combined=lambda: trusted))
        workspace: Any = SimpleNamespace(network=network, clock=Clock())
        return connection.open_(far.server, far.login, workspace, until=time.monotonic() + 10)

    with open_(far.trusted) as made:
        assert made.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(DeployError) as caught:
        open_(foreign)
    assert caught.value.code is Code.DATABASE_REFUSED
    assert "does not trust" in caught.value.message


def test_the_server_s_name_is_sent(foreign: Path) -> None:
    """Lakebase finds the endpoint by it (SNI)."""
    import ssl

    import trustme

    seen: list[str] = []
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    context.sni_callback = lambda _socket, name, _context: seen.append(str(name))
    foreign.write_bytes(authority.cert_pem.bytes())

    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert (await reader.readexactly(8))[4:] == b"\x04\xd2\x16\x2f"
            writer.write(b"S")
            await writer.start_tls(context)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = Server("autoscaling", "x", "localhost", port, "d")
        with forwarder.opened(found, Login("a", Secret("b:\\c")), foreign) as door:
            assert (door.folder / "password").read_text() == "*:*:*:*:b\\:\\\\c\n"
            reader, writer = await asyncio.open_unix_connection(str(door.folder / ".s.PGSQL.5432"))
            await reader.read()
            writer.close()
        server.close()

    asyncio.run(scenario())
    assert seen == ["localhost"]
