"""What upstream leaves open and the launcher closes: accounts for everybody, and commands from the inspector."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.launcher.launcher_app import EMBEDDED, App, behind_proxy

Launch = Callable[..., App]
OPERATOR, USER = "oncall@example.com", "person@example.com"
SIGN_UP = "/api/auth/sign-up/email"
STDIO = "/mcp-proxy/server/stdio?transportType=STDIO&command=id"
# Spellings that some program behind might take for the plain path.
SPELLINGS = [
    SIGN_UP,
    SIGN_UP + "/",
    "/api/auth//sign-up/email",
    "/API/Auth/Sign-Up/email",
    "/api/auth/sign%2dup/email",
    "/api/auth/sign%252dup/email",
    "/api/auth/%ff%2f%73ign-up/email",
    "/api/auth\\sign-up\\email",
    "/api/auth/sign-up/email?x=/../y",
    "/api/auth/x/../sign-up/email",
    "/api/auth/x/%2e%2e/sign-up/email",
    "/api/auth/%2E/sign-up/email",
    "/api/x/..%2f..%2fapi/auth/sign-up/email",
    "/api/%2525252525252e/auth",
    "/api/./auth/sign-up/email",
    "/trpc/../api/auth/sign-up/email",
    "http://x/api/auth/sign-up/email",
    "/api/auth/sign-up/email#x",
]
COMMANDS = [
    STDIO,
    "/mcp-proxy/server/stdio",
    "/mcp-proxy/server/STDIO/?x",
    "/Mcp-Proxy/server/stdio",
    "/mcp-proxy//server///stdio",
    "/mcp-proxy/server/st%64io",
    "/mcp-proxy/server/x/../stdio",
    "/mcp-proxy/server/mcp?transportType=STDIO&command=id",
    "/mcp-proxy/server/sse?transportType=STDIO&command=id",
    "/mcp-proxy/server/sse?transport%54ype=ST%44IO",
    "/mcp-proxy/server/sse?transportType=SSE&transportType=STDIO",
    "/mcp-proxy/server/sse?transportType[]=STDIO",
    "/mcp-proxy/server/sse?[transportType]=STDIO",
    "/mcp-proxy/server/sse?transportType=stdio",
    "/mcp-proxy/server/stdio#x",
    "/mcp-proxy/server/stdio#?transportType=SSE",
]
PROXY = f"X-Metamcp-Proxy-Secret: {EMBEDDED['METAMCP_PROXY_SECRET']}\r\n"
UPGRADES = ["", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"]


@pytest.fixture
def launch(launch: Launch) -> Launch:
    return behind_proxy(launch)


def raw(
    app: App, path: str, *, method: str = "GET", extra: str = "", body: str = ""
) -> tuple[int, dict[str, Any]]:
    """A request whose target goes out as it is written."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Email: {USER}\r\n{extra}{PROXY}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", app.port), timeout=120) as s:
        s.sendall(
            f"{head}{'' if 'Connection' in extra else 'Connection: close' + chr(13) + chr(10)}\r\n{body}".encode()
        )
        seen = b""
        while chunk := s.recv(65536):
            seen += chunk
    text = seen.partition(b"\r\n\r\n")[2]
    return int(seen.split()[1]), json.loads(text[text.index(b"{") : text.rindex(b"}") + 1])


def sign_up(app: App, email: str, *, as_: str | None = USER, **options: Any) -> requests.Response:
    body = {"email": email, "password": "correct horse battery", "name": "P"}
    headers = app.proxy | ({"X-Forwarded-Email": as_} if as_ else {})
    given = {"json": body} | options
    headers |= given.pop("headers", {})
    return requests.post(app.url + SIGN_UP, headers=headers, timeout=120, **given)


@pytest.fixture
def guarded(launch: Launch) -> App:
    return launch(env={"METAMCP_OPERATORS": f"{OPERATOR},second@example.com"}).up()


def test_operators_sign_up_as_themselves_unless_it_is_set_otherwise(guarded: App) -> None:
    answer = sign_up(guarded, "OnCall@example.com", as_=OPERATOR)
    assert answer.json()["method"] == "POST"
    assert json.loads(answer.json()["body"])["email"] == OPERATOR
    assert answer.json()["headers"]["content-length"] == str(len(answer.json()["body"]))
    for email, who, code in [
        (USER, USER, "sign_up_operators"),
        (OPERATOR, USER, "sign_up_operators"),
        ("second@example.com", OPERATOR, "sign_up_other"),
        (OPERATOR, None, "sign_up_unknown"),
    ]:
        answer = sign_up(guarded, email, as_=who)
        assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert "app.operators" in sign_up(guarded, USER).json()["message"]
    assert guarded.get("/api/auth/get-session").json()["service"] == "backend"


def test_no_spelling_of_a_path_signs_up_or_starts_a_command(guarded: App) -> None:
    body = json.dumps({"email": USER, "password": "correct horse battery", "name": "P"})
    for path in SPELLINGS:
        assert refused(guarded, path, method="POST", body=body), path
    for path, extra in itertools.product(COMMANDS, UPGRADES):
        assert refused(guarded, path, extra=extra), path


def refused(app: App, path: str, **options: str) -> bool:
    """Whether a request is, or is sent to another spelling (308) that is."""
    status, answer = raw(app, path, **options)
    if status == 308:
        return refused(app, answer["message"].removeprefix("This is at ").removesuffix("."), **options)
    return status in (400, 403, 405) and answer["status"] == "refused"


def test_bodies_that_hide_an_address(launch: Launch) -> None:
    app = launch(env={"METAMCP_SIGN_UP": "users"}).up()
    mine = json.dumps({"email": USER, "name": "P"})
    twice = '{"email": "other@example.com", "email": "person@example.com"}'
    seen = sign_up(app, "", json=None, data=twice, headers={"Content-Type": "application/json"}).json()[
        "body"
    ]
    assert json.loads(seen) == {"email": USER}
    wide = sign_up(
        app, "", json=None, data=mine, headers={"Content-Type": "application/json; charset=utf-16"}
    )
    assert wide.json()["headers"]["content-type"] == "application/json"
    chunked = sign_up(
        app, "", json=None, data=iter([mine.encode()]), headers={"Content-Type": "application/json"}
    )
    assert json.loads(chunked.json()["body"])["email"] == USER
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for data, headers, status in [
        (gzip.compress(mine.encode()), packed, 415),
        (mine, {"Content-Type": "text/plain"}, 415),
        (f"email={USER}", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("x" * 20_000, {"Content-Type": "application/json"}, 413),
        ("[]", {"Content-Type": "application/json"}, 400),
        ('{"email": ["person@example.com"]}', {"Content-Type": "application/json"}, 400),
        ("{", {"Content-Type": "application/json"}, 400),
        ("null", {"Content-Type": "application/json"}, 400),
    ]:
        assert sign_up(app, "", json=None, data=data, headers=headers).status_code == status
    assert sign_up(app, "other@example.com").json()["code"] == "sign_up_other"


def test_a_client_that_goes_away_in_the_middle_of_signing_up(launch: Launch) -> None:
    app = launch(env={"METAMCP_SIGN_UP": "users"}).up()
    with socket.create_connection(("127.0.0.1", app.port)) as s:
        head = f"POST {SIGN_UP} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Email: {USER}\r\n{PROXY}"
        head += "Content-Type: application/json\r\n"
        s.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    assert sign_up(app, USER).status_code == 200
    assert "Unexpected" not in app.log
    assert app.stop() < 4


@pytest.mark.parametrize(("setting", "status"), [("closed", 403), ("users", 200), ("open", 200)])
def test_who_may_sign_up_is_a_setting(launch: Launch, setting: str, status: int) -> None:
    app = launch(env={"METAMCP_SIGN_UP": setting, "METAMCP_OPERATORS": OPERATOR}).up()
    assert sign_up(app, USER).status_code == status
    assert sign_up(app, OPERATOR, as_=OPERATOR).status_code == status
    assert (sign_up(app, "other@example.com").status_code == 200) == (setting == "open")
    env = app.get("/api/env").json()["now"]
    assert env.get("BOOTSTRAP_DISABLE_REGISTRATION_UI") == ("true" if setting == "closed" else None)
    assert env["BOOTSTRAP_ENABLE"] == "false"


def test_bootstrap_that_was_asked_for_stays_on(launch: Launch) -> None:
    given = {
        "METAMCP_APP_ENV": "BOOTSTRAP_USER_EMAIL",
        "BOOTSTRAP_USER_EMAIL": USER,
        "METAMCP_SIGN_UP": "closed",
    }
    env = launch(env=given).up().get("/api/env").json()["now"]
    assert (env["BOOTSTRAP_USER_EMAIL"], env["BOOTSTRAP_DISABLE_REGISTRATION_UI"]) == (USER, "true")
    assert "BOOTSTRAP_ENABLE" not in env


def test_remote_servers_can_be_inspected(guarded: App) -> None:
    for path in (
        "/mcp-proxy/server/sse?transportType=SSE&url=https%3A%2F%2Fexample.com%2F..%2Fstdio",
        "/mcp-proxy/server/mcp?transportType=STREAMABLE_HTTP",
        "/mcp-proxy/metamcp/1/sse",
        "/mcp-proxy/server/health",
    ):
        assert guarded.get(path).json()["service"] == "backend"


def test_the_inspector_may_be_opened(launch: Launch) -> None:
    app = launch(env={"METAMCP_INSPECTOR": "operators", "METAMCP_OPERATORS": OPERATOR}).up()
    refused = app.get(STDIO, headers={"X-Forwarded-Email": USER})
    assert (refused.status_code, refused.json()["code"]) == (403, "inspector_closed")
    assert "through a namespace" in refused.json()["message"]
    assert app.get(STDIO, headers={"X-Forwarded-Email": OPERATOR}).json()["service"] == "backend"
    app.stop()
    app = launch(env={"METAMCP_INSPECTOR": "open"}).up()
    assert app.get(STDIO).json()["service"] == "backend"


def test_secrets_for_mcp_servers_stay_where_the_backend_finds_them(launch: Launch) -> None:
    app = launch(env={"METAMCP_CHILD_ENV": "OIDC_CLIENT_SECRET"}).up()
    now = app.get("/api/env").json()["now"]
    assert now["OIDC_CLIENT_SECRET"] == "oidc-secret-marked-93bd"
    assert now["METAMCP_CHILD_ENV"] == "OIDC_CLIENT_SECRET"
    assert "BETTER_AUTH_SECRET" not in now


def test_what_a_rewrite_leads_to_is_judged_too(launch: Launch) -> None:
    """A route of another name to the inspector, to sign-up, or to what is closed."""
    more = [
        {"prefix": "/pwn", "to": "/mcp-proxy/server/stdio", "exact": True},
        {"prefix": "/join", "to": "/api/auth/sign-up", "exact": False},
        {"prefix": "/out", "to": "/service", "exact": False},
        {"prefix": "/service", "exact": False, "closed": "out.example.com"},
    ]

    def routed(folder: Path) -> None:
        about = json.loads((folder / "release.json").read_text())
        (folder / "release.json").write_text(json.dumps({**about, "routes": [*more, *about["routes"]]}))

    app = launch(prepare=routed).up()
    assert code_of(app, "/pwn") == "inspector_closed"
    assert code_of(app, "/pwn?transportType=STDIO&command=id") == "inspector_closed"
    assert code_of(app, "/join/email") == "sign_up_unknown"
    for path in ("/service/x", "/out/x", "/out/%78"):
        assert code_of(app, path) == "outside_closed"


def code_of(app: App, path: str) -> str:
    return str(app.get(path).json()["code"])
