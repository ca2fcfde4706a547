"""Tokens of other issuers (a CI's OIDC tokens) that count as the login of a service principal.

The platform checks such a token with the public key that the issuer publishes; here the policy names a key that both
sides know (HS256), as the issuer is a test's own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
FIELDS = ("issuer", "subject", "audience", "key")


def refusal(policy: Mapping[str, str] | None, token: str, now: float) -> str | None:
    """Why a token is no login under a federation policy; None when it is one.

    Args:
        policy: FIELDS of the service principal's policy, None when it has none.
        token: the JWT.
        now: seconds since the epoch.
    """
    if not policy:
        return "there is no federation policy for this client_id"
    try:
        head, content, signature = token.split(".")
        claims: dict[str, Any] = json.loads(_decoded(content))
        given = _decoded(signature)
    except ValueError:
        return "the subject token is no JWT"
    expected = hmac.new(policy["key"].encode(), f"{head}.{content}".encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(expected, given):
        return "the subject token was not signed by the issuer of the federation policy"
    said = {"issuer": claims.get("iss"), "subject": claims.get("sub")}
    wrong = [name for name, value in said.items() if value != policy[name]]
    audience = claims.get("aud")
    if policy["audience"] not in (audience if isinstance(audience, list) else [audience]):
        wrong.append("audience")
    if wrong:
        return f"the subject token's {', '.join(wrong)} match no federation policy of this client_id"
    return "the subject token has expired" if float(claims.get("exp", 0)) < now else None


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
