"""Who is who: the owner, other people, the apps' principals, their OAuth tokens, and the routes that hand them out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from metamcp_deploy.local import federation
from metamcp_deploy.local.answers import answer
from metamcp_deploy.local.store import Store

USER = "developer@example.com"
TOKEN_SECONDS = 3600
API = "databricks"


@dataclass(frozen=True)
class Principal:
    """A user or an app's service principal.

    Attributes:
        name: the e-mail address of a user, the client id of a service principal: also its Postgres role.
        client_id: what it presents at the token endpoint.
        display_name: for people.
        number: its SCIM id.
        app: the app it belongs to, None for people.
        admin: a workspace administrator, whom no access list limits.
    """

    name: str
    client_id: str
    display_name: str
    number: str
    app: str | None = None
    admin: bool = False


class Identity:
    """Principals and tokens. Tokens are signed, not stored: they outlive a restart, as the platform's do."""

    def __init__(
        self, store: Store, clock: Callable[[], float] = time.time, token_seconds: int = TOKEN_SECONDS
    ) -> None:
        self.token_seconds = token_seconds
        self.store = store
        self.clock = clock
        self.data = store.family("identity")
        if not self.data:
            self.data |= {
                "workspace_id": str(10**15 + secrets.randbelow(9 * 10**15)),
                "client_id": str(uuid.uuid4()),
                "client_secret": "dose" + secrets.token_hex(16),
                "token": "dapi" + secrets.token_hex(16),
                "key": secrets.token_hex(32),
            }
            store.save()

    @property
    def workspace_id(self) -> str:
        """The workspace's number."""
        return str(self.data["workspace_id"])

    @property
    def user(self) -> Principal:
        """The person this workspace belongs to."""
        return Principal(USER, self.data["client_id"], "Developer", "1000", admin=True)

    def principal(self, client_id: str) -> Principal | None:
        """The owner, one of the people, or an app's principal while the app exists."""
        if client_id == self.data["client_id"]:
            return self.user
        if person := self.store.family("people").get(client_id):
            names = person["name"], client_id, person["display_name"], person["number"]
            return Principal(*names, admin=person["admin"])
        for name, app in self.store.family("apps").items():
            held = app["principal"]
            if held["client_id"] == client_id:
                return Principal(client_id, client_id, held["name"], str(held["id"]), app=name)
        return None

    def check_secret(self, client_id: str, client_secret: str) -> Principal | None:
        """The principal whose id and secret these are."""
        principal = self.principal(client_id)
        if principal is None:
            return None
        app = self.store.family("apps").get(principal.app) if principal.app else None
        held = app["principal"] if app else self.store.family("people").get(client_id, self.data)
        expected = held["client_secret"]
        return principal if hmac.compare_digest(str(expected), client_secret) else None

    def issue(self, principal: Principal, audience: str = API, seconds: int | None = None) -> str:
        """A signed token: by default an OAuth access token, else a session of the app that `audience` names."""
        now = int(self.clock())
        claims = {
            "sub": principal.client_id,
            "aud": audience,
            "iat": now,
            "exp": now + (self.token_seconds if seconds is None else seconds),
            "jti": secrets.token_hex(8),
        }
        head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        content = f"{head}.{_encode(json.dumps(claims).encode())}"
        return f"{content}.{self._signature(content)}"

    def _signature(self, content: str) -> str:
        key = bytes.fromhex(self.data["key"])
        return _encode(hmac.new(key, content.encode(), hashlib.sha256).digest())

    def of_oauth_token(self, token: str, audience: str = API) -> Principal | None:
        """Whose OAuth token (or session) this is; None when it is none, was changed, or ended, or its owner did."""
        content, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(content).encode(), signature.encode("utf-8", "replace")):
            return None
        claims = json.loads(_decode(content.partition(".")[2]))
        valid = claims["exp"] > self.clock() and claims["aud"] == audience
        return self.principal(claims["sub"]) if valid else None

    def of_token(self, token: str) -> Principal | None:
        """Whose OAuth or personal access token this is. Apps accept the first kind only, the API both."""
        if hmac.compare_digest(str(self.data["token"]).encode(), token.encode("utf-8", "replace")):
            return self.user
        for client_id, person in self.store.family("people").items():
            if hmac.compare_digest(str(person["token"]).encode(), token.encode("utf-8", "replace")):
                return self.principal(client_id)
        return self.of_oauth_token(token)

    def routes(self, url: str) -> list[web.RouteDef]:
        """OAuth discovery and tokens, and SCIM Me."""

        async def configuration(_: web.Request) -> web.Response:
            return answer({"oidc_endpoint": f"{url}/oidc", "workspace_id": self.workspace_id})

        async def discovery(_: web.Request) -> web.Response:
            return answer(
                {
                    "issuer": f"{url}/oidc",
                    "authorization_endpoint": f"{url}/oidc/v1/authorize",
                    "token_endpoint": f"{url}/oidc/v1/token",
                    "grant_types_supported": ["client_credentials", federation.GRANT],
                    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                }
            )

        return [
            web.get("/.well-known/databricks-config", configuration),
            web.get("/oidc/.well-known/oauth-authorization-server", discovery),
            web.post("/oidc/v1/token", self._token),
            web.get("/api/2.0/preview/scim/v2/Me", _me),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = _basic(request) or (str(form.get("client_id", "")), str(form.get("client_secret", "")))
        if form.get("grant_type") == federation.GRANT:
            policy = self.store.family("people").get(given[0], {}).get("federation")
            refused = federation.refusal(policy, str(form.get("subject_token", "")), self.clock())
            if refused:
                return _oauth_error(400, "invalid_grant", f"Token exchange failed: {refused}")
            principal = self.principal(given[0])
        elif form.get("grant_type") == "client_credentials":
            principal = self.check_secret(*given)
        else:
            return _oauth_error(
                400, "unsupported_grant_type", "Only client_credentials and token exchange are known here."
            )
        if principal is None:
            return _oauth_error(401, "invalid_client", "Client authentication failed")
        request["principal"] = principal
        return answer(
            {
                "access_token": self.issue(principal),
                "token_type": "Bearer",
                "scope": "all-apis",
                "expires_in": self.token_seconds,
            }
        )


async def _me(request: web.Request) -> web.Response:
    principal: Principal = request["principal"]
    person = "@" in principal.name
    emails = [{"type": "work", "value": principal.name, "primary": True}] if person else []
    groups = [{"display": "admins", "type": "direct", "value": "1"}] if principal.admin else []
    return answer(
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": principal.number,
            "userName": principal.name,
            "displayName": principal.display_name,
            "active": True,
            "emails": emails,
            "groups": groups,
        }
    )


def bearer(request: web.BaseRequest) -> str | None:
    """The token of the Authorization header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def caller(request: web.BaseRequest, identity: Identity) -> Principal | None:
    """Who a request comes from, as its credential says; whether that is good is not asked of Basic ones."""
    if token := bearer(request):
        return identity.of_token(token)
    basic = _basic(request)
    return identity.principal(basic[0]) if basic else None


def _basic(request: web.BaseRequest) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded).decode().partition(":")
    except (Base64Error, UnicodeDecodeError):
        return None
    return name, secret


def _oauth_error(status: int, error: str, description: str) -> web.Response:
    return answer({"error": error, "error_description": description}, status=status)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> Any:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
