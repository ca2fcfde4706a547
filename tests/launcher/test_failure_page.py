"""What the launcher says while MetaMCP is away: a page or JSON, an outline for everybody, evidence for operators."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import (
    AUTH_SECRET,
    CLIENT_SECRET,
    EMBEDDED,
    OIDC_SECRET,
    App,
    FakeWorkspace,
    behind_proxy,
)

Launch = Callable[..., App]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PROXY = f"X-Metamcp-Proxy-Secret: {EMBEDDED['METAMCP_PROXY_SECRET']}\r\n"
OPERATOR = {"X-Forwarded-Email": "OnCall@example.com"}
OUTSIDER = {"X-Forwarded-Email": "someone@example.com"}
EVIDENCE = {"error", "cause", "fix", "environment", "log"}


@pytest.fixture
def launch(launch: Launch) -> Launch:
    return behind_proxy(launch)


@pytest.fixture
def failed(launch: Launch) -> App:
    """An app whose migrations failed for good."""
    app = launch(migrate=programs.migrate_failing("schema_unknown", heals=False))
    app.away()
    return app


class Page(HTMLParser):
    """Checks that the tags nest and collects what a page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_programs_get_json_and_people_a_page(failed: App) -> None:
    for accept in (
        "*/*",
        "application/json",
        "application/json, text/event-stream",
        BROWSER,
        "text/html;q=0",
    ):
        answer = failed.get("/", headers={"Accept": accept})
        kind = "text/html" if accept == BROWSER else "application/json"
        assert (answer.status_code, answer.headers["content-type"]) == (503, f"{kind}; charset=utf-8")
        assert answer.headers["cache-control"] == "no-store"
    body = failed.get("/metamcp/x/mcp", headers=OUTSIDER).json()
    assert set(body) == {"status", "step", "code", "message", "request_id", "contact"}
    assert (body["step"], body["code"], body["contact"]) == ("migrate", "schema_unknown", "#metamcp-help")


def test_the_page_stands_alone(failed: App) -> None:
    answer = failed.get("/en", headers={"Accept": BROWSER, "X-Request-Id": "id-<7>"})
    page = Page(answer.text)
    assert not [a for _, a in page.tags if {"src", "href"} & set(a)]
    assert ("html", {"lang": "en"}) in page.tags
    assert "color-scheme:light dark" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for shown in ("migrate", "schema_unknown", "id-&lt;7&gt;", "#metamcp-help", "does not try again"):
        assert shown in answer.text, shown
    assert "http-equiv" not in answer.text, "asking again cannot help"
    assert answer.headers["retry-after"] == "60"


def test_the_page_asks_again_while_that_can_help(launch: Launch) -> None:
    app = launch(migrate=programs.migrate_failing("database_unreachable", heals=True))
    app.away()
    text = app.until(lambda: (t := app.get("/", headers={"Accept": BROWSER}).text) and "refresh" in t and t)
    assert '<meta http-equiv="refresh" content="' in text
    Page(text)


def test_what_failed_stays_in_sight_while_it_is_tried_again(launch: Launch) -> None:
    failing = programs.migrate_failing("database_unreachable", heals=True)
    again = "const fs = await import('node:fs'); const again = fs.existsSync('tried'); fs.writeFileSync('tried', '');"
    app = launch(migrate=f"{again} if (again) setTimeout(() => {{}}, 60000); else {{ {failing} }}")
    app.away()
    body = app.until(lambda: (b := app.get("/").json())["status"] == "starting" and b)
    assert body["last_failure"] == {"step": "migrate", "code": "database_unreachable"}
    assert not EVIDENCE & set(body)
    body = app.until(lambda: (b := app.get("/", headers=OPERATOR).json())["step"] == "migrate" and b)
    assert body["status"] == "starting"
    assert body["error"] == "It failed. evidence"
    page = app.get("/", headers={**OPERATOR, "Accept": BROWSER}).text
    Page(page)
    assert "<dt>Last failure</dt><dd>database_unreachable, at the step migrate</dd>" in page
    assert "It failed. evidence" in page


def test_evidence_is_for_operators(failed: App) -> None:
    seen = failed.get("/", headers=OPERATOR).json()
    assert seen.keys() >= EVIDENCE
    assert seen["error"] == "It failed. evidence"
    assert "ledger" in seen["cause"]
    assert "database.schema" in seen["fix"]
    assert any("PGHOST=" in line for line in seen["environment"])
    assert any("Applying database migrations" in line for line in seen["log"]["launcher"])
    page = failed.get("/", headers={**OPERATOR, "Accept": BROWSER}).text
    Page(page)
    for shown in ("It failed. evidence", "Likely cause", "Last lines of launcher", "PGHOST="):
        assert shown in page, shown


@pytest.mark.parametrize(
    "headers",
    [
        {},
        OUTSIDER,
        {"X-Forwarded-Email": ""},
        {"X-Forwarded-Email": "someone@example.com, oncall@example.com"},
        {"X-Forwarded-User": "oncall@example.com"},
        {"X-Forwarded-Preferred-Username": "oncall@example.com"},
        {"X_Forwarded_Email": "oncall@example.com"},
    ],
)
def test_nobody_else_sees_it(failed: App, headers: dict[str, str]) -> None:
    for accept in ("application/json", BROWSER):
        text = failed.get("/", headers={**headers, "Accept": accept}).text
        for hidden in ("It failed", "evidence", "PGHOST", "Applying database"):
            assert hidden not in text


def test_without_operators_nobody_is_one(launch: Launch) -> None:
    app = launch(
        env={"METAMCP_OPERATORS": "", "METAMCP_CONTACT": None},
        migrate=programs.migrate_failing("x", heals=False),
    )
    app.away()
    body = app.get("/", headers={"X-Forwarded-Email": ""}).json()
    assert not EVIDENCE & set(body)
    assert "contact" not in body


def test_no_secret_among_the_evidence(launch: Launch, workspace: FakeWorkspace) -> None:
    app = launch().up()
    app.get("/api/ask?want=database-password")
    app.get("/api/die")
    text = app.until(lambda: (r := app.get("/api/x", headers=OPERATOR)).status_code == 503 and r.text)
    assert "last words" in json.dumps(json.loads(text)["log"]["backend"])
    marked = [AUTH_SECRET, CLIENT_SECRET, OIDC_SECRET, *workspace.issued, "foreign-marked-5511"]
    assert [m for m in marked if m in text] == []


def test_a_service_that_is_away_is_named(launch: Launch) -> None:
    app = launch().up()
    app.get("/api/die")
    answer = app.away_at("/api/x")
    assert answer.json()["step"] == "backend"
    assert answer.headers["retry-after"] == "10"
    seen = app.get("/api/x", headers=OPERATOR)
    if seen.status_code == 503 and seen.json()["status"] == "failed":
        assert "exit code 3" in seen.json()["error"]


def test_heads_and_upgrades_are_refused_alike(failed: App) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", failed.port), timeout=120) as s:
        s.sendall(f"HEAD / HTTP/1.1\r\nHost: localhost\r\n{PROXY}Connection: close\r\n\r\n".encode())
        seen = b"".join(iter(lambda: s.recv(65536), b""))
    head, _, body = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"content-length" in head.lower()
    assert body == b""
