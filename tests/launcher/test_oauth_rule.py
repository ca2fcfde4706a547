"""OAuth of MetaMCP's endpoints: upstream gives a code for whoever is signed in to every client that a link names."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.launcher.asking import Answer, ask
from tests.launcher.launcher_app import App, behind_proxy

ASKED = {
    "response_type": "code",
    "client_id": "mcp_client_1",
    "redirect_uri": 'https://tools.example.com/back?a="><b',
    "code_challenge": "c",
    "code_challenge_method": "S256",
    "state": "a b&c",
}
VICTIM = {"Cookie": "__Secure-better-auth.session_token=v", "X-Forwarded-Email": "victim@example.com"}
PAGE = {"Accept": "text/html"}


@pytest.fixture
def app(launch: Callable[..., App]) -> App:
    oauth = [
        {"prefix": "/oauth", "to": "/oauth", "exact": False},
        {"prefix": "/other", "to": "/oauth", "exact": False},
    ]

    def routed(folder: Any) -> None:
        about = json.loads((folder / "release.json").read_text())
        (folder / "release.json").write_text(json.dumps({**about, "routes": [*oauth, *about["routes"]]}))

    return behind_proxy(launch)(prepare=routed).up()


def get(app: App, path: str, method: str = "GET", **headers: str) -> Answer:
    return ask(app.port, method, path, headers={**app.proxy, "Host": "localhost", **headers})


def authorize(**more: str) -> str:
    return f"/oauth/authorize?{urlencode(ASKED | more)}"


def fields(page: Answer) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    return {html.unescape(name): html.unescape(value) for name, value in found}


def test_a_client_gets_a_code_after_this_person_has_allowed_this_client(app: App) -> None:
    page = get(app, authorize(), **VICTIM, **PAGE)
    assert page.status == 403
    assert "tools.example.com" in page.text
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    allowed = f"/oauth/authorize?{urlencode(fields(page))}"
    seen = get(app, allowed, **VICTIM).json()
    assert seen["service"] == "backend"
    assert parse_qs(urlsplit(seen["url"]).query) == {name: [value] for name, value in ASKED.items()}
    given = fields(page)
    others = [
        ({}, VICTIM | {"Cookie": "__Secure-better-auth.session_token=other"}),
        ({}, VICTIM | {"X-Forwarded-Email": "other@example.com"}),
        ({"redirect_uri": "https://evil.example.com"}, VICTIM),
        ({"client_id": "mcp_client_2"}, VICTIM),
        ({"metamcp_confirmed": ""}, VICTIM),
    ]
    for change, who in others:
        answer = get(app, f"/oauth/authorize?{urlencode(given | change)}", **who)
        assert (answer.status, answer.json()["code"]) == (403, "confirmation_needed"), change


def test_no_spelling_avoids_the_question(app: App) -> None:
    query = urlencode(ASKED)
    for path in ("/OAuth/Authorize", "/oauth/authorize", "/oauth/%61uthorize", "/other/authorize"):
        for method in ("GET", "HEAD", "POST"):
            assert get(app, f"{path}?{query}", method, **VICTIM).status == 403, (method, path)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x"}
    assert get(app, f"/oauth/authorize?{query}", **VICTIM, **upgrade).status == 403
    assert get(app, f"/oauth/authorize?{query}", **upgrade).json()["code"] == "no_websocket"
    twice = get(app, f"/oauth/authorize?{query}&redirect_uri=https://evil.example.com", **VICTIM)
    assert (twice.status, twice.json()["code"]) == (400, "oauth_request")
    # Who is not signed in is led to the sign-in.
    seen = get(app, authorize(), Cookie="preferred-language=en").json()
    assert seen["service"] == "backend"
    assert get(app, "/oauth/authorize", "OPTIONS").json()["service"] == "backend"
    assert get(app, "/oauth/register", "POST").json()["service"] == "backend"


def callback(**params: Any) -> str:
    return f"/oauth/callback?params={base64.urlsafe_b64encode(json.dumps(params).encode()).decode()}"


def test_the_callback_gives_no_code_to_an_address_that_nobody_registered(app: App) -> None:
    """The authorization endpoint compares the address with those of the client; upstream's callback does not."""
    given = {name: value for name, value in ASKED.items() if name != "response_type"}
    answer = get(app, callback(**given, extra="x"), **VICTIM)
    assert answer.status == 302
    there = urlsplit(answer.headers["Location"])
    assert (there.netloc, there.path) == ("", "/oauth/authorize")
    assert parse_qs(there.query) == {name: [value] for name, value in ASKED.items()}
    # Upstream's page for a code shows `state` as it came: markup of whoever made the link.
    for path in (
        "/oauth/callback?code=mcp_code_1&state=%3Cb%3E",
        "/oauth/callback",
        "/oauth/callback?params=x",
        "/oauth/callback?params=W10",
        callback(client_id=["a"]),
        callback(client_id="a") + "&params=x",
    ):
        answer = get(app, path, **VICTIM)
        assert (answer.status, answer.json()["code"]) == (400, "oauth_request"), path
