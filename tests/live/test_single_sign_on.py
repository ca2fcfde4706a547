"""Single sign-on by OIDC_* in app.env, its client secret a secret; closing password sign-up does not close it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from tests.live.gateway import Gateway
from tests.live.issuer import Issuer
from tests.live.live_app import LiveApp

SECRET = "oidc-client-secret-marked-0042"
PERSON = {"sub": "42", "email": "newcomer@example.com", "name": "Newcomer", "email_verified": True}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer("metamcp", SECRET, PERSON)
    yield made
    made.close()


@pytest.fixture(scope="module")
def app(live: Callable[[], LiveApp], issuer: Issuer) -> LiveApp:
    env = {
        "OIDC_CLIENT_ID": "metamcp",
        "OIDC_CLIENT_SECRET": {"secret": "OIDC_CLIENT_SECRET"},
        "OIDC_DISCOVERY_URL": issuer.discovery,
        "OIDC_AUTHORIZATION_URL": f"{issuer.url}/authorize",
    }
    return live().deploy({"env": env, "sign_up": "closed"}, {"OIDC_CLIENT_SECRET": SECRET})


def test_somebody_new_signs_in(app: LiveApp, issuer: Issuer) -> None:
    user = Gateway(app.url, app.workspace_token())
    wanted = {"providerId": "oidc", "callbackURL": "/en"}
    begun = user.session.post(f"{app.url}/api/auth/sign-in/oauth2", json=wanted, timeout=120)
    assert begun.status_code == 200, begun.text
    away = requests.get(begun.json()["url"], allow_redirects=False, timeout=120)
    assert away.status_code == 302, issuer.refused
    back = user.session.get(away.headers["location"], allow_redirects=False, timeout=120)
    assert (back.status_code, issuer.refused) == (302, []), back.text
    assert back.headers["location"].removeprefix(app.url) == "/en"
    session = user.session.get(f"{app.url}/api/auth/get-session", timeout=120).json()
    assert session["user"]["email"] == PERSON["email"]
    assert user.trpc("apiKeys.create", name="of-the-newcomer")["key"].startswith("sk_mt_")
    assert SECRET not in app.log()


def test_a_code_of_somebody_else_does_not_sign_in(app: LiveApp) -> None:
    user = Gateway(app.url, app.workspace_token())
    answer = user.session.get(
        f"{app.url}/api/auth/oauth2/callback/oidc?code=x&state=y", allow_redirects=False, timeout=120
    )
    assert user.session.get(f"{app.url}/api/auth/get-session", timeout=120).json() is None, answer.text


def test_password_sign_up_is_closed(app: LiveApp) -> None:
    user = Gateway(app.url, app.workspace_token())
    body = {"email": "developer@example.com", "password": "correct horse battery", "name": "D"}
    answer = user.session.post(f"{app.url}/api/auth/sign-up/email", json=body, timeout=120)
    assert (answer.status_code, answer.json()["code"]) == (403, "sign_up_closed")
