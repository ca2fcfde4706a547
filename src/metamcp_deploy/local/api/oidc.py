"""`/oidc` and `/.well-known`: OAuth discovery, tokens, and the page that signs a browser in to an app."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from metamcp_deploy.local import federation
from metamcp_deploy.local.api import pages
from metamcp_deploy.local.api.errors import denied, missing
from metamcp_deploy.local.api.requests import Call
from metamcp_deploy.local.api.routes import Route
from metamcp_deploy.local.apps.sign_in import CALLBACK, PAGE
from metamcp_deploy.local.callers import same_user
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.identity import basic


class Oidc:
    """The handlers; none needs a login."""

    def __init__(self, context: Context) -> None:
        self.identity = context.identity
        self.sign_in = context.sign_in
        self.ports = context.store.family("ports")
        self.url = context.url
        self.unified = context.options.unified

    def routes(self) -> list[Route]:
        """The table of this family."""
        discovery = "/oidc/.well-known/oauth-authorization-server"
        return [
            Route("GET", "/.well-known/databricks-config", self._configuration, public=True),
            Route("GET", discovery, self._discovery, public=True),
            Route("POST", "/oidc/v1/token", self._token, raw=True, public=True),
            Route("GET", PAGE, self._page, public=True),
            Route("POST", PAGE, self._signed_in, raw=True, public=True),
        ]

    def _configuration(self, _: Call) -> dict[str, str]:
        known = {"oidc_endpoint": f"{self.url}/oidc", "embedded": self.identity.workspace_id}
        return known if self.unified else {**known, "workspace_id": self.identity.workspace_id}

    def _discovery(self, _: Call) -> dict[str, Any]:
        return {
            "issuer": f"{self.url}/oidc",
            "authorization_endpoint": f"{self.url}{PAGE}",
            "token_endpoint": f"{self.url}/oidc/v1/token",
            "grant_types_supported": ["client_credentials", federation.GRANT],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }

    async def _token(self, call: Call) -> Any:
        form = await call.request.post()
        given = basic(call.request) or (str(form.get("client_id", "")), str(form.get("client_secret", "")))
        if form.get("grant_type") == federation.GRANT:
            policy = self.identity.federation_policy(given[0])
            refused = federation.refusal(policy, str(form.get("subject_token", "")), self.identity.clock())
            if refused:
                return _refused(400, "invalid_grant", f"Token exchange failed: {refused}")
            principal = self.identity.principal(given[0])
        elif form.get("grant_type") == "client_credentials":
            principal = self.identity.check_secret(*given)
        else:
            known = "Only client_credentials and token exchange are known here."
            return _refused(400, "unsupported_grant_type", known)
        if principal is None:
            return _refused(401, "invalid_client", "Client authentication failed")
        call.request["principal"] = principal
        return {
            "access_token": self.identity.issue(principal),
            "token_type": "Bearer",
            "scope": "all-apis",
            "expires_in": self.identity.token_seconds,
        }

    def _app(self, call: Call) -> str:
        if not same_user(call.request):
            raise denied(
                "The user of the machine that runs this embedded workspace signs in here, nobody else."
            )
        name = call.query.get("client_id", "")
        if f"app:{name}" not in self.ports:
            raise missing(f"App with name {name} does not exist or is deleted.")
        return name

    def _page(self, call: Call) -> web.Response:
        app = self._app(call)
        # The nonce keeps other pages in the same browser from signing in on the user's behalf.
        nonce = self.sign_in.remember(f"nonce:{app}")
        values = {"app": app, "user": self.identity.user.name, "nonce": nonce}
        # After it the browser is led to the app, whose address a policy of forms would have to name.
        return pages.page("sign-in.html", values, forms="'self' http://127.0.0.1:*")

    async def _signed_in(self, call: Call) -> None:
        app = self._app(call)
        form = await call.request.post()
        if not self.sign_in.redeem(str(form.get("nonce", "")), f"nonce:{app}"):
            raise web.HTTPFound(str(call.request.rel_url))
        code = self.sign_in.remember(f"code:{app}")
        query = urlencode({"code": code, "state": call.query.get("state", "")})
        raise web.HTTPFound(f"http://127.0.0.1:{self.ports[f'app:{app}']}{CALLBACK}?{query}")


def _refused(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)
