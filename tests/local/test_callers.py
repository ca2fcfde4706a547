"""Who may call an embedded workspace: not every page of a browser, and not every user of the machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
import requests

# Asks as another user of the machine, whom the system knows as nobody. The first argument is the address.
AS_NOBODY = """
import encodings.idna, os, sys, urllib.request
os.setgroups([]); os.setgid(65534); os.setuid(65534)
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_): return None
given = {"X-Forwarded-Email": "developer@example.com", "Cookie": sys.argv[2]}
ask = urllib.request.Request(sys.argv[1], headers=given)
opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
try:
    print(opener.open(ask, timeout=60).status)
except urllib.error.HTTPError as e:
    print(e.code)
"""


def as_nobody(url: str, cookie: str = "a=b") -> int:
    """The status that another user gets."""
    words = [sys.executable, "-c", AS_NOBODY, url, cookie]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture(scope="module")
def app(world: Any) -> Any:
    return world.serve()


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1.evil.example.com", "169.254.169.254", ""])
def test_another_name_for_this_machine_is_refused(world: Any, app: Any, host: str) -> None:
    for url in (world.running.url, app.url):
        headers = world.headers | {"Host": host}
        assert requests.get(f"{url}/api/2.0/apps", headers=headers, timeout=120).status_code in (400, 403)


def test_localhost_is_this_machine(world: Any, app: Any) -> None:
    port = app.url.rpartition(":")[2]
    assert world.get(app, "/", headers={"Host": f"localhost:{port}"}).text == "ok"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")
def test_another_user_of_the_machine_cannot_sign_in(world: Any, app: Any) -> None:
    page = f"{world.running.url}/oidc/v1/authorize?client_id={app.name}"
    assert requests.get(page, timeout=120).status_code == 200
    assert as_nobody(page) == 403
    assert as_nobody(app.url) == 302
    # A browser sends cookies to every port of 127.0.0.1, those of other users among them (RFC 6265, 8.5).
    browser = requests.Session()
    nonce = re.search(r'name="nonce" value="([^"]+)"', browser.get(page, timeout=120).text)[1]  # type: ignore[index]
    assert browser.post(page, data={"nonce": nonce}, timeout=120).status_code == 200
    session = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)
    assert (
        requests.get(app.url, headers={"Cookie": session}, timeout=120, allow_redirects=False).status_code
        == 200
    )
    assert as_nobody(app.url, session) == 302
