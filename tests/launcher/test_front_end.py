"""What reaches the front end. Expectations are Next's own: which spellings it redirects, what its pages take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.launcher.asking import ask
from tests.launcher.launcher_app import App


@pytest.fixture(scope="module")
def sent() -> list[str]:
    """The multipart body that hangs Next 15.4.8 where no page has a server action."""
    return ["--x", 'Content-Disposition: form-data; name="0"', "", '"$1"', "--x--", ""]


def test_pages_take_reading_methods_only(launch: Callable[..., App], sent: list[str]) -> None:
    app = launch().up()
    action = {"next-action": "40ab", "content-type": "multipart/form-data; boundary=x"}
    refused = ask(app.port, "POST", "/en/login", "\r\n".join(sent), headers=action)
    assert (refused.status, refused.json()["code"]) == (405, "method_refused")
    assert refused.headers["allow"] == "GET, HEAD"
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
        assert ask(app.port, method, "/en").status == 405
    assert ask(app.port, "HEAD", "/en").status == 200
    assert (
        ask(app.port, "POST", "/en/form", headers=action).json()["service"] == "frontend"
    )  # the manifests name it
    assert ask(app.port, "POST", "/en/form/other").status == 405
    assert ask(app.port, "POST", "/api/x").json()["service"] == "backend"
    upgrade = {"connection": "Upgrade", "upgrade": "websocket"}
    assert ask(app.port, "GET", "/en", headers=upgrade).status == 405
    spellings = {
        "/trpc/x/?a=1": "/trpc/x?a=1",
        "//trpc//x?a=//b": "/trpc/x?a=//b",
        "/\\evil.example.com": "/evil.example.com",
        "//evil.example.com/": "/evil.example.com/",
        "/service/": "/service",
    }
    for method in ("GET", "POST"):
        for path, to in spellings.items():
            answer = ask(app.port, method, path)
            assert (answer.status, answer.headers["location"]) == (308, to), (method, path)
    for path in ("/service/x", "/SERVICE/x", "/%73ervice/x"):
        assert (answer := ask(app.port, "GET", path)).json()["code"] == "outside_closed", answer.text


def test_nothing_that_only_next_may_say_comes_from_outside(launch: Callable[..., App]) -> None:
    app = launch().up()
    inner = {
        "x-middleware-subrequest": "middleware:middleware",
        "X-Middleware-Rewrite": "/",
        "x-matched-path": "/",
        "x-now-route-matches": "1",
        "next-resume": "1",
        "Content-Security-Policy": "script-src 'nonce-x'",  # Next puts its nonce into the page
        "content-security-policy-report-only": "script-src 'nonce-x'",
    }
    outer = {"rsc": "1", "next-router-state-tree": "%5B%5D", "x-nextjs-data": "1"}
    seen = ask(app.port, "GET", "/en?_rsc=1", headers=inner | outer).json()["headers"]
    assert outer.items() <= seen.items()
    assert not {name.lower() for name in inner} & seen.keys()
    for query in ("nxtPlocale=zh", "a=1&%6exPlocale=zh&%6extPlocale=zh", "nxtIlocale=zh"):
        assert ask(app.port, "GET", f"/en?{query}").json()["code"] == "inner_parameter"
    assert ask(app.port, "GET", "/api/x?nxtPlocale=zh").json()["service"] == "backend"
    for value in ("javascript:alert(1)", "https://x.example", "//x", "/\\x", "%2f%2fx", "/%09/x", "@x", ""):
        for name in ("callbackUrl", "c%61llbackURL"):
            assert ask(app.port, "GET", f"/en/login?{name}={value}").json()["code"] == "callback_outside", (
                value
            )
    kept = "/en/login?callbackUrl=/oauth/callback%3Fparams%3Dx"
    assert ask(app.port, "GET", kept).json()["url"] == kept
