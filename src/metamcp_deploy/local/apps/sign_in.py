"""Signs a browser in to an app: codes between the workspace's page and the app's proxy, and the session cookie."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from aiohttp import web

from metamcp_deploy.local.callers import same_user
from metamcp_deploy.local.identity import Identity, Principal

CALLBACK = "/.auth/callback"
PAGE = "/oidc/v1/authorize"
SESSION_SECONDS = 12 * 3600
_CODE_SECONDS = 60.0
# A path of the app, also for parsers of URLs that leave out tabs and line breaks.
_PLAIN = re.compile(r"/(?![/\\])[\x21-\x7e]*")


class SignIn:
    """One-time codes between the page and the proxies."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._once: dict[str, tuple[str, float]] = {}
        self._connections: WeakKeyDictionary[asyncio.Transport, bool] = WeakKeyDictionary()

    def url(self, workspace: str, app: str, path: str) -> str:
        """Where a request without a credential is sent; `path` is where it comes back to."""
        state = base64.urlsafe_b64encode(path.encode()).decode()
        return f"{workspace}{PAGE}?{urlencode({'client_id': app, 'state': state})}"

    def remember(self, what: str) -> str:
        """A code that `redeem` takes once, within a minute, for the same thing."""
        now = time.monotonic()
        self._once = {k: v for k, v in self._once.items() if v[1] > now}
        word = secrets.token_urlsafe(24)
        self._once[word] = (what, now + _CODE_SECONDS)
        return word

    def redeem(self, word: str, what: str) -> bool:
        """Whether `remember` gave this code for this; it is used up."""
        remembered, until = self._once.pop(word, ("", 0.0))
        return remembered == what and until > time.monotonic()

    def callback(self, request: web.BaseRequest, app: str) -> web.Response | None:
        """The proxy's side: a session cookie and the way back, or None when the code is not good."""
        if not self.redeem(request.query.get("code", ""), f"code:{app}"):
            return None
        response = web.Response(status=302, headers={"Location": _path(request.query.get("state", ""))})
        session = self.identity.issue(self.identity.user, cookie_name(app), SESSION_SECONDS)
        response.set_cookie(cookie_name(app), session, httponly=True, samesite="Lax", max_age=SESSION_SECONDS)
        return response

    def session(self, request: web.BaseRequest, app: str) -> Principal | None:
        """Who the browser is signed in as.

        It sends its cookies to every port of this machine, so that the programs of other users may know them.
        """
        token = request.cookies.get(cookie_name(app))
        known = self.identity.of_oauth_token(token, cookie_name(app)) if token else None
        return known if known and self._same_user(request) else None

    def _same_user(self, request: web.BaseRequest) -> bool:
        """As `same_user`, asked once for each connection."""
        if request.transport is None:
            return False
        if (known := self._connections.get(request.transport)) is None:
            known = self._connections[request.transport] = same_user(request)
        return known


def cookie_name(app: str) -> str:
    """Cookies know no ports: each app needs its own name."""
    return f"__databricks_app_{app}"


def without_session(cookies: str, app: str) -> str:
    """A Cookie header without the session, which is the proxy's own business."""
    prefix = f"{cookie_name(app)}="
    return "; ".join(c for c in (part.strip() for part in cookies.split(";")) if not c.startswith(prefix))


def _path(state: str) -> str:
    try:
        path = base64.urlsafe_b64decode(state).decode()
    except ValueError:
        return "/"
    return path if _PLAIN.fullmatch(path) else "/"
