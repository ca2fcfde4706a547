"""Upstreams that cannot be reached, refuse, keep silent, or are slow."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.git import environments
from metamcp_deploy.upstream import mirror
from tests.prepare.small_upstream import Prepared, Repository

Answer = tuple[int, dict[str, str], str]


@pytest.fixture
def answering() -> Iterator[Callable[[Answer], str]]:
    """Starts an HTTP server that gives one answer to everything; returns its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/metamcp.git"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((401, {"WWW-Authenticate": 'Basic realm="x"'}, ""), Code.UPSTREAM_AUTH),
        ((403, {}, ""), Code.UPSTREAM_AUTH),
        ((404, {}, ""), Code.UPSTREAM_UNREACHABLE),
        ((500, {}, ""), Code.UPSTREAM_UNREACHABLE),
        ((200, {"Content-Type": "text/html"}, "<html>Sign in</html>"), Code.UPSTREAM_UNREACHABLE),
        ((302, {"Location": "ftp://example.com/"}, ""), Code.UPSTREAM_REFUSED),
    ],
)
def test_answers_that_are_no_repository(
    prepared: Prepared, answering: Callable[[Answer], str], answer: Answer, code: Code
) -> None:
    url = answering(answer)
    began = time.monotonic()

    with pytest.raises(DeployError) as error:
        prepared.pinned("v2.4.22", url=url).run()

    assert error.value.code is code
    assert url in error.value.message
    assert time.monotonic() - began < 10  # nothing asked a person
    assert not prepared.tree.exists()


def test_nothing_listens(prepared: Prepared) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{free.getsockname()[1]}/metamcp"

        with pytest.raises(DeployError) as error:
            prepared.pinned("v2.4.22", url=url).run()

    assert error.value.code is Code.UPSTREAM_UNREACHABLE


def test_a_host_without_an_address(prepared: Prepared) -> None:
    with pytest.raises(DeployError) as error:
        prepared.pinned("v2.4.22", url="https://metamcp.invalid/x").run()

    assert error.value.code is Code.UPSTREAM_UNREACHABLE
    assert "has no address" in error.value.message


def test_a_folder_that_is_no_repository(prepared: Prepared, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()

    with pytest.raises(DeployError) as error:
        prepared.pinned("v2.4.22", url=str(tmp_path / "plain")).run()

    assert error.value.code is Code.UPSTREAM_UNREACHABLE
    assert "no git repository" in error.value.message


@pytest.mark.parametrize(
    ("complaint", "code"),
    [
        ("git@git.example.com: Permission denied (publickey).", Code.UPSTREAM_AUTH),
        ("Host key verification failed.", Code.UPSTREAM_AUTH),
        ("ssh: connect to host git.example.com port 22: Connection timed out", Code.UPSTREAM_UNREACHABLE),
    ],
)
def test_what_ssh_says(
    prepared: Prepared, over_ssh: Callable[[str], str], complaint: str, code: Code
) -> None:
    url = over_ssh(f"echo '{complaint}' >&2; exit 255")

    with pytest.raises(DeployError) as error:
        prepared.pinned("v2.4.22", url=url).run()

    assert error.value.code is code
    assert complaint in str(error.value.detail)


def test_ssh_is_told_not_to_ask(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own command is kept, with batch mode and a limit on connecting added."""
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{program} -i key")

    with pytest.raises(DeployError):
        prepared.pinned("v2.4.22", url="git@git.example.com:team/metamcp.git").run()

    words = (tmp_path / "words").read_text()
    assert words.startswith("-i key -oBatchMode=yes -oConnectTimeout=15")


def test_silence_is_ended(
    prepared: Prepared, over_ssh: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "SILENCE_SECONDS", 0.5)

    with pytest.raises(DeployError) as error:
        prepared.pinned("v2.4.22", url=over_ssh("exec sleep 60")).run()

    assert error.value.code is Code.UPSTREAM_UNREACHABLE
    assert "no sign of life" in error.value.message


def test_a_clone_that_moves_is_not_cut(
    prepared: Prepared,
    upstream: Repository,
    over_ssh: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: list[events.Event],
) -> None:
    for n in range(200):
        (upstream.path / f"file{n}").write_bytes(bytes((n * 37 + i * i) % 251 for i in range(300)))
    upstream.commit("big")
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys, time\n"
        "while chunk := sys.stdin.buffer.read1(2000):\n"
        "    sys.stdout.buffer.write(chunk); sys.stdout.flush(); time.sleep(0.1)\n"
    )
    monkeypatch.setattr(mirror, "SILENCE_SECONDS", 1.5)

    outcome = prepared.pinned("main", url=over_ssh(f"$serve | {sys.executable} {slow}")).run()

    assert outcome.seconds > 2
    moved = [e for e in said if isinstance(e, events.Progress) and e.unit == "objects"]
    assert moved[-1].done == moved[-1].total


def test_an_answer_that_moves_is_not_cut_before_its_end(
    upstream: Repository,
    over_ssh: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ls-remote writes nothing before it has every name."""
    for n in range(60):
        upstream.git("branch", f"one-of-many-{n}")
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys, time\n"
        "while chunk := sys.stdin.buffer.read1(250):\n"
        "    sys.stdout.buffer.write(chunk); sys.stdout.flush(); time.sleep(0.15)\n"
    )
    monkeypatch.setattr(mirror, "SILENCE_SECONDS", 1.2)
    url = over_ssh(f"$serve | {sys.executable} {slow}")
    began = time.monotonic()
    source = mirror.Source(url, environments.network({}, url))
    assert len(source.look_up().commits) > 60
    assert time.monotonic() - began > 2


@pytest.mark.parametrize(("status", "busy", "code"), [(503, 2, None), (429, 9, Code.UPSTREAM_UNREACHABLE)])
def test_a_busy_host_is_asked_again(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, status: int, busy: int, code: Code | None
) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status if len(asked) <= busy else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(mirror, "BUSY_PAUSES", (0.0, 0.0, 0.0))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/metamcp.git"
        with pytest.raises(DeployError) as error:
            prepared.pinned("v2.4.22", url=url).run()
        server.shutdown()
    assert error.value.code is (code or Code.UPSTREAM_AUTH)
    assert len(asked) == min(busy, 3) + 1
    assert ("busy" in error.value.message) is (code is not None)
