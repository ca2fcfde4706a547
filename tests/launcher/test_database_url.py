"""A DATABASE_URL that would not be understood as it is meant is refused before anything is tried."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.launcher.launcher_app import App, behind_proxy

Launch = Callable[..., App]


@pytest.fixture
def launch(launch: Launch) -> Launch:
    return behind_proxy(launch)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:50%-marked@pg.example.com/d", "a % in its password"),
        ("postgresql://m%e:pw@pg.example.com/d", "a % in its user"),
        ("postgresql://me:pw@pg.example.com/d%zz", "a % in its database"),
        ("postgresql://me:pw@pg.example.com/d?sslmode=prefer", "sslmode=prefer"),
        ("postgresql://me:pw@pg.example.com/d?sslmode=allow", "disable, require, verify-ca or verify-full"),
        ("postgresql://me:pw@pg.example.com/d?sslmode=no-verify", "sslmode=no-verify"),
        ("postgresql://me:pw@pg.example.com/d?sslmode=require&sslrootcert=/x.pem", "sslrootcert"),
        ("postgresql://me:pw@pg.example.com/d?options=-csearch_path%3Dx", "options"),
        ("postgresql://me:pw@pg.example.com/d?sslcert=/x.pem&sslkey=/y.pem", "sslcert, sslkey"),
        ("postgresql://me:pw@/d?host=pg.example.com", "DATABASE_URL"),
        ("postgresql://me:pw@other.example.com/d?host=pg.example.com", "host"),
    ],
)
def test_an_odd_url_is_named(launch: Launch, url: str, said: str) -> None:
    app = launch(env={"DATABASE_URL": url})
    body = app.away().json()
    assert (body["step"], body["code"]) == ("database", "database_url_invalid")
    error = app.get("/", headers={"X-Forwarded-Email": "oncall@example.com"}).json()["error"]
    assert said in error
    assert "marked" not in app.log


def test_what_changes_nothing_is_let_be(launch: Launch) -> None:
    more = "sslmode=require&channel_binding=require&application_name=x&connect_timeout=5&sslrootcert=system"
    app = launch(env={"DATABASE_URL": f"postgresql://me:a%25b%40@pg.example.com/d?{more}"}).up()
    assert app.get("/api/ask?want=database-password").json() == {"value": "a%b@"}
