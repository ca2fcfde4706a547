"""The proxy, byte by byte: what a client can send, and what it gets. A real cluster stands behind it."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.lakebase import protocol
from metamcp_deploy.local.lakebase.authority import Authority
from metamcp_deploy.local.lakebase.pg_proxy import PostgresProxy
from metamcp_deploy.postgres import Cluster

TOKEN = "a-token"
STARTUP = struct.pack("!I", 196608) + b"user\0postgres\0database\0postgres\0\0"


def packet(body: bytes) -> bytes:
    return struct.pack("!I", len(body) + 4) + body


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.throwaway() as running:
        yield running


@pytest.fixture(scope="module")
def in_loop() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs a coroutine in an event loop of another thread: the tests use plain, blocking sockets."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


MakeProxy = Callable[..., PostgresProxy]


@pytest.fixture
def make_proxy(cluster: Cluster, in_loop: Callable[[Coroutine[Any, Any, Any]], Any]) -> Iterator[MakeProxy]:
    made = []

    def make(**how: Any) -> PostgresProxy:
        behind = how.pop("behind", lambda: cluster.socket_folder / ".s.PGSQL.5432")
        proxy = PostgresProxy(
            behind, lambda user, password: password == TOKEN, lambda _: cluster.password(), **how
        )
        in_loop(proxy.start())
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        in_loop(proxy.stop())


@pytest.fixture
def proxy(make_proxy: MakeProxy) -> PostgresProxy:
    return make_proxy()


@contextmanager
def client(proxy: PostgresProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=120) as sock:
        yield sock


def to_the_end(sock: socket.socket) -> bytes:
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def session(proxy: PostgresProxy, **how: Any) -> psycopg.Connection[Any]:
    values = {"sslmode": "disable", "password": TOKEN, "user": "postgres", "dbname": "postgres", **how}
    return psycopg.connect(host="127.0.0.1", port=proxy.port, autocommit=True, **values)


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,  # a TLS hello without SSLRequest
        struct.pack("!II", 10_001, 196608) + b"x" * 9_993,
        struct.pack("!II", 0, 196608),
        struct.pack("!II", 7, 196608),
        struct.pack("!II", 0xFFFFFFFF, 196608),
        bytes(8),
        b"\xff" * 5000,
    ],
)
def test_garbage_closes_the_connection_without_an_answer(proxy: PostgresProxy, sent: bytes) -> None:
    with client(proxy) as sock:
        sock.sendall(sent)
        assert to_the_end(sock) == b""
    session(proxy).close()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (struct.pack("!I", 2 << 16) + bytes(288), b"unsupported frontend protocol 2.0"),
        (struct.pack("!I", 196608) + b"user\0postgres", b"expected terminator as last byte"),
        (struct.pack("!I", 196608) + b"database\0postgres\0\0", b"no PostgreSQL user name specified"),
        (struct.pack("!I", 196608) + b"\0", b"no PostgreSQL user name specified"),
    ],
)
def test_a_bad_startup_packet_is_told(proxy: PostgresProxy, body: bytes, said: bytes) -> None:
    with client(proxy) as sock:
        sock.sendall(packet(body))
        answer = to_the_end(sock)
    assert answer[:1] == b"E"
    assert b"SFATAL\0" in answer
    assert said in answer


def test_the_longest_startup_packet_is_taken(proxy: PostgresProxy) -> None:
    filler = 10_000 - 4 - len(STARTUP) - len(b"options\0\0")
    body = STARTUP[:-1] + b"options\0" + b" " * filler + b"\0\0"
    assert len(packet(body)) == 10_000
    with client(proxy) as sock:
        sock.sendall(packet(body))
        assert sock.recv(9) == protocol.authentication(protocol.AUTH_CLEARTEXT)


def test_what_arrives_in_single_bytes_is_put_together(proxy: PostgresProxy) -> None:
    with client(proxy) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in packet(STARTUP):
            sock.sendall(bytes([byte]))
        assert sock.recv(9) == protocol.authentication(protocol.AUTH_CLEARTEXT)
        for byte in protocol.password_message(TOKEN):
            sock.sendall(bytes([byte]))
        assert sock.recv(9, socket.MSG_WAITALL) == protocol.authentication(protocol.AUTH_OK)


def test_encryption_is_declined_without_a_certificate(proxy: PostgresProxy) -> None:
    with client(proxy) as sock:
        for request in (protocol.GSSENC_REQUEST, protocol.SSL_REQUEST):
            sock.sendall(packet(struct.pack("!I", request)))
            assert sock.recv(1) == b"N"
        sock.sendall(packet(STARTUP))
        assert sock.recv(9) == protocol.authentication(protocol.AUTH_CLEARTEXT)
    session(proxy, sslmode="prefer").close()
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
        session(proxy, sslmode="require")


def test_the_same_request_twice_is_refused(proxy: PostgresProxy) -> None:
    with client(proxy) as sock:
        sock.sendall(packet(struct.pack("!I", protocol.SSL_REQUEST)) * 2)
        assert b"unsupported frontend protocol" in to_the_end(sock)


def test_hanging_up_instead_of_a_password_is_no_failed_login(proxy: PostgresProxy) -> None:
    with client(proxy) as sock:
        sock.sendall(packet(STARTUP))
        sock.recv(9)
    eventually(lambda: proxy.connections == 0)
    assert (proxy.logins.ok, proxy.logins.failed) == (0, 0)


@pytest.mark.parametrize(
    "sent", [b"Q" + packet(b"SELECT 1\0"), b"p" + struct.pack("!I", 70_000), b"p\0\0\0\0"]
)
def test_anything_but_a_password_is_refused(proxy: PostgresProxy, sent: bytes) -> None:
    with client(proxy) as sock:
        sock.sendall(packet(STARTUP))
        sock.recv(9)
        sock.sendall(sent)
        assert b"C08P01\0" in to_the_end(sock)


def test_a_wrong_password_is_counted_and_logged_in_one_line(
    proxy: PostgresProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        session(proxy, password="wrong", user="who\nFATAL: forged")
    assert (proxy.logins.ok, proxy.logins.failed) == (0, 1)
    eventually(lambda: "authentication failed" in caplog.text)
    assert "\nFATAL: forged" not in "\n".join(r.getMessage() for r in caplog.records)


def test_who_does_not_log_in_in_time_is_cut_off(make_proxy: MakeProxy) -> None:
    proxy = make_proxy(authentication_seconds=0.2)
    for sent in (b"", packet(STARTUP)[:9], packet(STARTUP)):
        with client(proxy) as sock:
            sock.sendall(sent)
            assert to_the_end(sock)[9:] == b""
    with session(proxy) as open_session:
        time.sleep(0.3)  # the real clock: the limit must not reach a session
        assert open_session.execute("SELECT 1").fetchone() == (1,)


def test_a_flood_of_silent_clients_does_not_shut_others_out(make_proxy: MakeProxy) -> None:
    proxy = make_proxy(most_waiting=20, authentication_seconds=0.5)
    silent = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(60)]
    try:
        eventually(lambda: proxy.connections == 60)
        with client(proxy) as sock:
            sock.sendall(packet(STARTUP))
            assert b"C53300\0" in to_the_end(sock)
        eventually(lambda: proxy.connections == 0)
        session(proxy).close()
    finally:
        for sock in silent:
            sock.close()


def test_many_short_connections_leave_nothing_behind(proxy: PostgresProxy) -> None:
    for _ in range(50):
        with client(proxy) as sock:
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )  # close with a reset
            sock.sendall(packet(STARTUP))
    eventually(lambda: proxy.connections == 0)


def test_a_reset_in_the_middle_of_an_answer_ends_the_session_behind(
    proxy: PostgresProxy, cluster: Cluster
) -> None:
    with client(proxy) as sock:
        sock.sendall(packet(STARTUP))
        sock.recv(9)
        sock.sendall(protocol.password_message(TOKEN))
        query = b"SELECT repeat('x', 1000) FROM generate_series(1, 1000000) /* flood */\0"
        sock.sendall(b"Q" + packet(query))
        sock.recv(100_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: proxy.connections == 0)
    with psycopg.connect(cluster.uri().reveal(), autocommit=True) as admin:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%flood%' AND pid <> pg_backend_pid()"
        eventually(lambda: admin.execute(query).fetchone() == (0,))


def test_a_half_closed_client_still_gets_its_answer(proxy: PostgresProxy) -> None:
    with client(proxy) as sock:
        sock.sendall(packet(STARTUP))
        sock.recv(9)
        sock.sendall(protocol.password_message(TOKEN))
        sock.sendall(b"Q" + packet(b"SELECT pg_sleep(0.1), 'the answer'\0"))
        sock.shutdown(socket.SHUT_WR)
        assert b"the answer" in to_the_end(sock)


def test_a_client_that_does_not_read_holds_the_cluster_back(proxy: PostgresProxy, cluster: Cluster) -> None:
    with client(proxy) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(packet(STARTUP))
        sock.recv(9)
        sock.sendall(protocol.password_message(TOKEN))
        sock.sendall(b"Q" + packet(b"SELECT repeat('y', 1000) FROM generate_series(1, 200000) /* slow */\0"))
        query = (
            "SELECT wait_event FROM pg_stat_activity WHERE query LIKE '%slow%' AND pid <> pg_backend_pid()"
        )
        with psycopg.connect(cluster.uri().reveal(), autocommit=True) as admin:
            eventually(lambda: admin.execute(query).fetchone() == ("ClientWrite",))
        received = 0
        while received < 200_000_000:
            received += len(sock.recv(1 << 20))


def test_a_cluster_that_is_away_is_told(make_proxy: MakeProxy, tmp_path: Path) -> None:
    proxy = make_proxy(behind=lambda: tmp_path / "none")
    with pytest.raises(psycopg.OperationalError, match="the database system is not available"):
        session(proxy)


def test_the_end_of_the_cluster_ends_the_session(make_proxy: MakeProxy) -> None:
    with Cluster.throwaway() as cluster:
        socket_file = cluster.socket_folder / ".s.PGSQL.5432"
        proxy = make_proxy(behind=lambda: socket_file)
        proxy._internal = lambda _: cluster.password()
        connection = session(proxy)
        cluster.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()


def test_stop_closes_port_and_sessions(make_proxy: MakeProxy, in_loop: Callable[[Any], Any]) -> None:
    proxy = make_proxy()
    connection = session(proxy)
    port = proxy.port
    in_loop(proxy.stop())
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_it_listens_on_loopback_only_and_a_taken_port_is_told(
    proxy: PostgresProxy, in_loop: Callable[[Any], Any]
) -> None:
    second = PostgresProxy(Path, lambda user, password: False, lambda _: pytest.fail("not asked"))
    with pytest.raises(DeployError) as caught:
        in_loop(second.start(proxy.port))
    assert caught.value.code is Code.PORT_TAKEN
    assert proxy._listener
    assert proxy._listener.getsockname()[0] == "127.0.0.1"


def test_tls_is_refused_to_what_was_sent_in_clear_before_it(make_proxy: MakeProxy, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    proxy = make_proxy(tls=authority.server_context("127.0.0.1"), authentication_seconds=5)
    trusting = ssl.create_default_context(cafile=str(authority.ca_file))
    with client(proxy) as sock:
        # CVE-2021-23222: somebody in the middle adds a startup packet in clear behind the client's SSLRequest.
        sock.sendall(packet(struct.pack("!I", protocol.SSL_REQUEST)) + packet(STARTUP))
        assert sock.recv(1) == b"S"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            trusting.wrap_socket(sock, server_hostname="127.0.0.1")
    with client(proxy) as sock:
        sock.sendall(packet(struct.pack("!I", protocol.SSL_REQUEST)))
        assert sock.recv(1) == b"S"
        with trusting.wrap_socket(sock, server_hostname="127.0.0.1") as secure:
            secure.sendall(packet(STARTUP))
            assert secure.recv(9) == protocol.authentication(protocol.AUTH_CLEARTEXT)
    session(proxy, sslmode="verify-full", sslrootcert=str(authority.ca_file)).close()
