"""Nothing leaks to what MetaMCP runs: an MCP server that tells all it can find, asked in every way there is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests

from tests.live.gateway import Client, Gateway
from tests.live.live_app import OWNER, LiveApp
from tests.local.test_callers import as_nobody

MARKED = {
    "BETTER_AUTH_SECRET": "auth-secret-marked-4f1d2c3b4a5968778695a4b3",
    "OIDC_CLIENT_SECRET": "oidc-secret-marked-81c2d3e4f5",
    "HIDDEN_TOKEN": "hidden-token-marked-77aa88bb99",
}
ALLOWED, PLAIN = "github-token-allowed-5566", "plain-setting-not-for-servers"
# What a server's settings ask for; the names are those of secrets, of the platform, and of what programs inherit.
ASKED = [
    *MARKED,
    "PLAIN_SETTING",
    "DATABASE_URL",
    "PGPASSWORD",
    "PGHOST",
    "PGUSER",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_CLIENT_ID",
    "METAMCP_SERVICE_SECRETS",
    "METAMCP_SECRET_ENV",
    "APP_URL",
    "PATH",
    "__proto__",
    "constructor",
]
# Reports its environment, and that of every process of the app: from the launcher down.
TELLTALE = """
import json, os, pathlib, sys

def stat(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[1])

def parents():
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = stat(entry.name)
            except OSError:
                pass
    return found

def read(path):
    try:
        return pathlib.Path(path).read_bytes().decode("latin1")
    except OSError as error:
        return repr(error)

def report():
    up = parents()
    launcher = os.getpid()
    while "metamcp-launcher" not in read(f"/proc/{launcher}/cmdline"):
        launcher = up[launcher]
    below = {launcher}
    while more := {pid for pid, parent in up.items() if parent in below} - below:
        below |= more
    paths = [f"{pid}/{name}" for pid in below for name in ("environ", "cmdline")] + [f"{launcher}/fd/0"]
    seen = {path: read(f"/proc/{path}") for path in paths}
    return {"env": dict(os.environ), "processes": len(below), "seen": seen}

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    method, result = message["method"], {}
    if method == "initialize":
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "telltale", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": "report", "inputSchema": {"type": "object", "properties": {}}}]}
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": json.dumps(report())}]}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""
SETTINGS = {
    "operators": [OWNER],
    "inspector": "operators",
    "child_env": ["GITHUB_TOKEN"],
    "env": {
        "PLAIN_SETTING": PLAIN,
        "OIDC_CLIENT_ID": "client",
        "OIDC_DISCOVERY_URL": "https://login.example.com/.well-known/openid-configuration",
        **{name: {"secret": name} for name in ("OIDC_CLIENT_SECRET", "HIDDEN_TOKEN", "GITHUB_TOKEN")},
    },
}


@pytest.fixture(scope="module")
def app(live: Callable[[], LiveApp]) -> LiveApp:
    secrets = {name: MARKED[name] for name in ("OIDC_CLIENT_SECRET", "HIDDEN_TOKEN")}
    auth = {"BETTER_AUTH_SECRET": MARKED["BETTER_AUTH_SECRET"]}
    return live().deploy(SETTINGS, {**secrets, "GITHUB_TOKEN": ALLOWED}, **auth)


@pytest.fixture(scope="module")
def user(app: LiveApp) -> Gateway:
    gateway = Gateway(app.url, app.workspace_token())
    gateway.sign_up()
    return gateway


def marks(app: LiveApp) -> dict[str, str]:
    """All secrets of the app, with the client secret that the platform made."""
    principal = json.loads((app.folder / "build" / "local" / "state.json").read_text())["apps"]["metamcp"]
    return {**MARKED, "DATABRICKS_CLIENT_SECRET": principal["principal"]["client_secret"]}


def assert_nothing_found(app: LiveApp, report: dict[str, object], asked: dict[str, str]) -> None:
    env, seen = report["env"], report["seen"]
    assert isinstance(env, dict)
    assert isinstance(seen, dict)
    assert int(str(report["processes"])) >= 4  # launcher, both services, the server itself
    texts = {"env": json.dumps(env), **{f"/proc/{k}": v for k, v in seen.items()}}
    assert [w for w, t in texts.items() if "METAMCP_PROXY_SECRET" in t] == []
    assert [(n, w) for n, v in marks(app).items() for w, t in texts.items() if v in t] == []
    assert not [w for w, t in texts.items() if PLAIN in t and w == "env"]
    assert env["GIVEN"] == ALLOWED
    unresolved = {name: env[name] for name in asked if name != "GIVEN"}
    assert unresolved == {name: value for name, value in asked.items() if name != "GIVEN"}
    own = set(env) - set(asked)
    assert own <= {"HOME", "PATH", "LOGNAME", "SHELL", "TERM", "USER", "LC_CTYPE", "PWD", "TMPDIR", "LANG"}, (
        own
    )


def asked() -> dict[str, str]:
    return {"GIVEN": "${GITHUB_TOKEN}", **{f"ASKED_{i}": f"${{{name}}}" for i, name in enumerate(ASKED)}}


def test_a_server_of_a_namespace_finds_nothing(app: LiveApp, user: Gateway, tmp_path: Path) -> None:
    key = user.make_endpoint(tmp_path, "telltale", source=TELLTALE, env=asked())
    client = Client(f"{app.url}/metamcp/telltale/mcp", user.token, key)
    _, tools, text = client.converse("")
    assert "telltale__report" in tools
    assert_nothing_found(app, json.loads(text), asked())


def test_the_inspector_hands_out_nothing_either(app: LiveApp, user: Gateway, tmp_path: Path) -> None:
    server = tmp_path / "inspected.py"
    server.write_text(TELLTALE)
    query = {
        "transportType": "STDIO",
        "command": sys.executable,
        "args": str(server),
        "env": json.dumps(asked()),
    }
    with user.session.get(
        f"{app.url}/mcp-proxy/server/stdio", params=query, stream=True, timeout=120
    ) as stream:
        assert stream.status_code == 200, stream.text
        lines = stream.iter_lines()
        path = next(line for line in lines if line.startswith(b"data: ")).decode()[6:]
        hello = {
            "protocolVersion": "2025-03-26",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        for number, (method, params) in enumerate(
            (("initialize", hello), ("tools/call", {"name": "report"}))
        ):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            sent = user.session.post(f"{app.url}{path}", json=message, timeout=120)
            assert sent.status_code == 202, sent.text
        answers = (json.loads(line[6:]) for line in lines if line.startswith(b"data: {"))
        report = next(a for a in answers if a.get("id") == 1)
    assert_nothing_found(app, json.loads(report["result"]["content"][0]["text"]), asked())


def test_the_log_tells_nothing(app: LiveApp) -> None:
    log = app.log()
    assert "MetaMCP is up" in log
    assert [name for name, value in {**marks(app), "GITHUB_TOKEN": ALLOWED}.items() if value in log] == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")
def test_no_port_of_the_app_answers_another_user_or_a_server(app: LiveApp) -> None:
    connections = [c for p in app.processes() for c in p.net_connections("tcp")]
    ports = {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    assert len(ports) >= 4  # the app's, the services' and the launcher's port for them
    for port in ports:
        for path in ("/mcp-proxy/server/stdio", "/api/auth/sign-up/email", "/metamcp/health", "/en/login"):
            url = f"http://127.0.0.1:{port}{path}"
            forged = {"X-Forwarded-Email": OWNER}
            assert requests.get(url, headers=forged, timeout=120).status_code == 403, (port, path)
            assert as_nobody(url) == 403, (port, path)


def test_only_operators_inspect_and_only_oneself_signs_up(app: LiveApp, user: Gateway) -> None:
    forged = {"X-Forwarded-Email": "other@example.com"}
    body = {"email": "other@example.com", "password": "correct horse battery", "name": "Other"}
    answer = user.session.post(f"{app.url}/api/auth/sign-up/email", json=body, headers=forged, timeout=120)
    assert (answer.status_code, answer.json()["code"]) == (403, "sign_up_other")
    assert OWNER in answer.json()["message"]
    nobody = requests.get(f"{app.url}/mcp-proxy/server/stdio", allow_redirects=False, timeout=120)
    assert nobody.status_code in (302, 401)
