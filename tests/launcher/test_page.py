"""The pages that the launcher shows to people, in a browser: the one for operators, the one while MetaMCP starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import EMBEDDED, App, behind_proxy
from tests.launcher.test_failure_page import BROWSER, Page
from tests.live.browser import Browser, browser

Launch = Callable[..., App]
CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
OPERATOR = {"X-Forwarded-Email": "oncall@example.com"}
PAGE = "/.metamcp-deploy/"
LOUD = "console.log('<img src=x onerror=document.title=1> ENOSPC: self-signed certificate');\n"
WATCHED = """
  window.refused = [];
  addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective));
  addEventListener("error", (event) => refused.push(event.message));
"""


@pytest.fixture
def launch(launch: Launch) -> Launch:
    return behind_proxy(launch)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium or Chrome")
    headers = {**OPERATOR, "X-Metamcp-Proxy-Secret": str(EMBEDDED["METAMCP_PROXY_SECRET"])}
    with browser(CHROMIUM, tmp_path / "profile", headers) as made:
        made.call("Page.enable")
        made.call("Page.addScriptToEvaluateOnNewDocument", source=WATCHED)
        yield made


def phone(page: Browser, theme: str) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])


def test_operators_see_how_it_is(launch: Launch, page: Browser) -> None:
    app = launch(backend=LOUD + programs.BACKEND).up()
    for _ in range(3):
        app.get("/api/spawn")
    page.visit(app.url + PAGE)
    page.until("document.title === 'MetaMCP is up'")
    page.until("document.querySelector('#processes td')?.innerText === 'sh'")
    text = page.run("document.body.innerText")
    for shown in ("backend", "up since", "Database credential", "valid for", "No session is open", "pages"):
        assert shown in text, shown
    assert "Requests: " in text
    assert page.run("document.querySelectorAll('#plots svg').length") == 3
    assert page.run("document.querySelectorAll('#plots rect').length") >= 1
    log = page.run("document.getElementById('log').innerText")
    assert "<img src=x" in log, "lines are text"
    assert "signed by an authority that the app does not know" in log, "known failures are explained"
    assert page.run("document.images.length") == 0
    for theme, colour in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(16, 20, 26)")):
        phone(page, theme)
        assert page.run("document.documentElement.scrollWidth") <= 390
        assert page.run("getComputedStyle(document.body).backgroundColor") == colour
    app.get("/api/die")
    page.until("document.getElementById('services').innerText.includes('exit code 3')")
    assert page.run("refused") == []


def test_a_failure_and_its_fix(launch: Launch, page: Browser) -> None:
    app = launch(migrate=programs.migrate_failing("migrations_locked", heals=False))
    app.away()
    page.visit(app.url + PAGE)
    page.until("document.title === 'MetaMCP is not available'")
    card = page.run("document.querySelector('.card').innerText")
    for shown in ("migrations_locked, at the step migrate", "It failed. evidence", "Likely cause"):
        assert shown in card, shown
    fix = page.run("document.querySelector('.fix code').innerText")
    assert fix in page.run("document.querySelector('.card dl').innerText")
    page.run("document.querySelector('.fix button').click()")
    page.until("['Copied', 'Selected'].includes(document.querySelector('.fix button').innerText)")
    phone(page, "dark")
    assert page.run("document.documentElement.scrollWidth") <= 390
    page.visit(app.url + "/en")
    assert "It failed. evidence" in page.run("document.body.innerText")
    assert page.run("document.documentElement.scrollWidth") <= 390
    assert page.run("refused") == []


def test_while_it_starts_its_steps_show_and_then_metamcp(
    launch: Launch, page: Browser, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = f"""
      const fs = await import("node:fs");
      while (!fs.existsSync({str(gate)!r})) await new Promise((resolve) => setTimeout(resolve, 50));
      {programs.migrated()}
    """
    app = launch(migrate=waits)
    app.until(lambda: app.get("/").json()["step"] == "migrate")
    page.visit(app.url + "/en")
    assert page.run("document.querySelector('.steps .running').innerText").startswith("migrate")
    assert page.run("document.querySelectorAll('.steps .done').length") == 4
    gate.touch()
    page.until('document.body.innerText.includes(\'"service":"frontend"\')')


def test_the_starting_page_is_everybodys(launch: Launch) -> None:
    app = launch(migrate="setInterval(() => {}, 1000);")
    text = app.until(
        lambda: (t := app.get("/", headers={"Accept": BROWSER}).text) and ">migrate<span>" in t and t
    )
    shown = Page(text)
    assert ("ol", {"class": "steps"}) in shown.tags
    assert not [a for _, a in shown.tags if {"src", "href", "style"} & set(a)]


def test_the_page_stands_alone(launch: Launch) -> None:
    app = launch(migrate=programs.migrate_failing("x", heals=False))
    app.away()
    answer = app.get(PAGE, headers=OPERATOR)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    shown = Page(answer.text)
    assert not [a for _, a in shown.tags if {"src", "style"} & set(a) or any(k.startswith("on") for k in a)]
    assert {a["href"] for _, a in shown.tags if "href" in a} == {"/.metamcp-deploy/status"}
    assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert app.get("/.metamcp-deploy", headers=OPERATOR).text == answer.text
    for headers, http in (({}, 401), ({"X-Forwarded-Email": "someone@example.com"}, 403)):
        refused = app.get(PAGE, headers={**headers, "Accept": BROWSER})
        assert (refused.status_code, "<script" in refused.text) == (http, False)
