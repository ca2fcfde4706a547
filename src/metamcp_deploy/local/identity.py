"""Principals (the owner, other people, the apps' own) and their OAuth tokens."""

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

from metamcp_deploy.local.options import USER
from metamcp_deploy.local.store import Store

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
        return principal if hmac.compare_digest(str(expected).encode(), client_secret.encode()) else None

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

    def federation_policy(self, client_id: str) -> dict[str, str] | None:
        """The policy by which tokens of another issuer are a person's login."""
        policy: dict[str, str] | None = self.store.family("people").get(client_id, {}).get("federation")
        return policy


def bearer(request: web.BaseRequest) -> str | None:
    """The token of the Authorization header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def caller(request: web.BaseRequest, identity: Identity) -> Principal | None:
    """Who a request comes from, as its credential proves."""
    if token := bearer(request):
        return identity.of_token(token)
    given = basic(request)
    return identity.check_secret(*given) if given else None


def basic(request: web.BaseRequest) -> tuple[str, str] | None:
    """Id and secret of the Authorization header."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded).decode().partition(":")
    except (Base64Error, UnicodeDecodeError):
        return None
    return name, secret


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> Any:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
