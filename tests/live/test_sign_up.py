"""Sign-up stays closed, whatever the variables say by which upstream's main opens it at every start."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
import requests

from tests.live.gateway import Gateway
from tests.live.live_app import OWNER, LiveApp

OPENING = {
    "BOOTSTRAP_ENABLE": "true",
    "BOOTSTRAP_DISABLE_REGISTRATION_UI": "false",
    "BOOTSTRAP_DISABLE_REGISTRATION_SSO": "false",
    "BOOTSTRAP_ONLY_FIRST_RUN": "false",
}
BODY = {"email": OWNER, "password": "correct horse battery", "name": "D"}
# What main says after it has done as its variables tell; releases before it know none of them.
SET = re.compile(r"Registration controls set: UI=(\w+)")


@pytest.fixture(scope="module")
def app(live: Callable[[], LiveApp]) -> LiveApp:
    return live().deploy({"env": OPENING, "sign_up": "closed", "operators": [OWNER]})


def refused(app: LiveApp) -> None:
    user = Gateway(app.url, app.workspace_token())
    answer = user.session.post(f"{app.url}/api/auth/sign-up/email", json=BODY, timeout=120)
    assert (answer.status_code, answer.json()["code"]) == (403, "sign_up_closed")


def ports(app: LiveApp) -> list[str]:
    """The backend's port after each of its starts, as it tells it."""
    return re.findall(r"Server is running on port (\d+)", app.log())


def closed_inside(app: LiveApp) -> bool:
    """Whether the backend's port refuses the container's own programs."""
    answer = requests.post(
        f"http://127.0.0.1:{ports(app)[-1]}/api/auth/sign-up/email",
        json={**BODY, "email": "inside@example.com"},
        headers={"Origin": app.url},
        timeout=120,
    )
    return (answer.status_code, answer.json()["code"]) == (403, "caller_unknown")


def test_variables_that_open_it_do_not(app: LiveApp) -> None:
    refused(app)
    if told := SET.findall(app.log()):
        assert set(told) == {"false"}
    assert closed_inside(app)


def test_nor_after_another_start(app: LiveApp) -> None:
    before = len(ports(app))
    backend = next(p for p in app.launcher().children() if "index.mjs" in " ".join(p.cmdline()))
    backend.kill()
    deadline = time.monotonic() + 120
    while len(ports(app)) == before or app.get("/health").status_code != 200:
        assert time.monotonic() < deadline, app.log()[-2000:]
        time.sleep(0.2)
    test_variables_that_open_it_do_not(app)
