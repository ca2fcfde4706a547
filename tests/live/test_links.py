"""Each link of MetaMCP's pages leads to a page: clicked in a browser where there is one, else asked for."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.live.browser import Browser, browser
from tests.live.gateway import Gateway
from tests.live.live_app import OWNER, LiveApp

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
BEFORE, AFTER = ("/en/login", "/en/register"), ("/en/mcp-servers", "/en/namespaces", "/en/endpoints")
HREF = re.compile(r'<a\s[^>]*?href="([^"#]+)"')


@pytest.fixture(scope="module")
def app(live: Callable[[], LiveApp]) -> LiveApp:
    return live().deploy({"sign_up": "operators", "operators": [OWNER]})


@pytest.fixture
def person(app: LiveApp) -> Gateway:
    made = Gateway(app.url, app.workspace_token())
    made.enter(OWNER)
    return made


@pytest.fixture
def page(app: LiveApp, tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium or Chrome")
    headers = {"Authorization": f"Bearer {app.workspace_token()}"}
    with browser(CHROMIUM, tmp_path / "profile", headers) as made:
        yield made


def own_links(page: Browser, url: str) -> list[str]:
    """Addresses of the app that a page's links lead to, once its code has made them; a page may have none."""
    page.visit(url)
    ends = time.monotonic() + 5
    while not page.run("document.links.length") and time.monotonic() < ends:
        time.sleep(0.1)
    origin = page.run("location.origin")
    return [
        link for link in page.run("[...document.links].map(link => link.href)") if link.startswith(origin)
    ]


def click(page: Browser, url: str, link: str) -> tuple[int, str]:
    """Status of the page that a click on a link of `url` leads to, and its address."""
    page.visit(url)
    page.until("document.links.length > 0")
    leads_to = page.run(f"fetch({link!r}).then(answer => answer.url)")
    page.run(f"[...document.links].find(link => link.href === {link!r}).click()")
    if leads_to != url:
        page.until(f"location.href !== {url!r} && document.readyState === 'complete'")
    return page.run("fetch(location.href).then(answer => answer.status)"), page.run("location.pathname")


def clicked(page: Browser, app: LiveApp, paths: tuple[str, ...]) -> dict[str, tuple[int, str]]:
    """Each link of the pages that exist → what a click leads to."""
    links = {link: app.url + path for path in paths for link in own_links(page, app.url + path)}
    return {link: click(page, url, link) for link, url in links.items()}


def test_sign_up_opens_from_the_sign_in_page(page: Browser, app: LiveApp) -> None:
    page.visit(f"{app.url}/en/login")
    page.until("[...document.links].some(link => link.pathname.endsWith('/register'))")
    page.run("[...document.links].find(link => link.pathname.endsWith('/register')).click()")
    page.until("location.pathname === '/en/register' && document.readyState === 'complete'")
    assert page.run("fetch(location.href).then(answer => answer.status)") == 200


def test_every_link_opens_a_page(page: Browser, app: LiveApp, person: Gateway) -> None:
    found = clicked(page, app, BEFORE)
    assert found
    for cookie in person.session.cookies:
        page.call("Network.setCookie", name=cookie.name, value=cookie.value or "", url=app.url, path="/")
    found |= clicked(page, app, tuple(p for p in AFTER if person.session.get(app.url + p).status_code == 200))
    print(f"{len(found)} links")
    assert {link: seen for link, seen in found.items() if seen[0] != 200} == {}


def test_every_link_of_the_text_opens_a_page(app: LiveApp, person: Gateway) -> None:
    signed_out = Gateway(app.url, app.workspace_token())
    found: dict[str, int] = {}
    for user, paths in ((signed_out, BEFORE), (person, AFTER)):
        for path in paths:
            answer = user.session.get(app.url + path, timeout=120)
            links = {urljoin(answer.url, href) for href in HREF.findall(answer.text)}
            for link in (one for one in links if one.startswith(app.url)):
                found[link] = user.session.get(link, timeout=120).status_code
    assert found
    assert {link: status for link, status in found.items() if status != 200} == {}
