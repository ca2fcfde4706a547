"""Signing a browser in to an app with one click: the workspace's page, and the session cookie at the app's proxy."""

from __future__ import annotations

import base64
import html
import secrets
import time
from urllib.parse import urlencode

from aiohttp import web

from metamcp_deploy.local.answers import missing
from metamcp_deploy.local.identity import Identity, Principal
from metamcp_deploy.local.store import Store

CALLBACK = "/.auth/callback"
PAGE = "/oidc/v1/authorize"
SESSION_SECONDS = 12 * 3600
_CODE_SECONDS = 60.0

_HTML = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title>
<body style="font:16px system-ui;display:grid;place-items:center;min-height:90vh">
<form method="post"><h1>Sign in to {app}</h1><p>This is the embedded workspace on your machine.</p>
<input type="hidden" name="nonce" value="{nonce}">
<button style="font:inherit;padding:.6em 1.2em">Continue as {user}</button></form></body></html>"""


class Login:
    """One-time codes between the page and the proxies."""

    def __init__(self, identity: Identity, store: Store) -> None:
        self.identity = identity
        self.store = store
        self._once: dict[str, tuple[str, float]] = {}

    def routes(self) -> list[web.RouteDef]:
        """The page."""
        return [web.get(PAGE, self._show), web.post(PAGE, self._accept)]

    def url(self, workspace: str, app: str, path: str) -> str:
        """Where a request without a credential is sent; `path` is where it comes back to."""
        state = base64.urlsafe_b64encode(path.encode()).decode()
        return f"{workspace}{PAGE}?{urlencode({'client_id': app, 'state': state})}"

    def _remember(self, what: str) -> str:
        now = time.monotonic()
        self._once = {k: v for k, v in self._once.items() if v[1] > now}
        word = secrets.token_urlsafe(24)
        self._once[word] = (what, now + _CODE_SECONDS)
        return word

    def _redeem(self, word: str, what: str) -> bool:
        remembered, until = self._once.pop(word, ("", 0.0))
        return remembered == what and until > time.monotonic()

    def _app(self, request: web.Request) -> str:
        name = request.query.get("client_id", "")
        if f"app:{name}" not in self.store.family("ports"):
            raise missing(f"App with name {name} does not exist or is deleted.")
        return name

    async def _show(self, request: web.Request) -> web.Response:
        app = self._app(request)
        # The nonce keeps other pages in the same browser from signing in on the user's behalf.
        nonce = self._remember(f"nonce:{app}")
        page = _HTML.format(app=html.escape(app), user=html.escape(self.identity.user.name), nonce=nonce)
        headers = {"Cache-Control": "no-store", "Content-Security-Policy": "frame-ancestors 'none'"}
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def _accept(self, request: web.Request) -> web.Response:
        app = self._app(request)
        form = await request.post()
        if not self._redeem(str(form.get("nonce", "")), f"nonce:{app}"):
            raise web.HTTPFound(str(request.rel_url))
        port = self.store.family("ports")[f"app:{app}"]
        query = urlencode({"code": self._remember(f"code:{app}"), "state": request.query.get("state", "")})
        raise web.HTTPFound(f"http://127.0.0.1:{port}{CALLBACK}?{query}")

    def callback(self, request: web.BaseRequest, app: str) -> web.Response | None:
        """The proxy's side: a session cookie and the way back, or None when the code is not good."""
        if not self._redeem(request.query.get("code", ""), f"code:{app}"):
            return None
        response = web.Response(status=302, headers={"Location": _path(request.query.get("state", ""))})
        session = self.identity.issue(self.identity.user, cookie_name(app), SESSION_SECONDS)
        response.set_cookie(cookie_name(app), session, httponly=True, samesite="Lax", max_age=SESSION_SECONDS)
        return response

    def session(self, request: web.BaseRequest, app: str) -> Principal | None:
        """Who the browser is signed in as."""
        token = request.cookies.get(cookie_name(app))
        return self.identity.of_oauth_token(token, cookie_name(app)) if token else None


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
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
