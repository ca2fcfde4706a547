"""Database credentials of the embedded Lakebase: several valid at once for one principal, each with its own end."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from metamcp_deploy.config.secret import Secret

ANYWHERE = ("",)  # the port without a place


class Credential(NamedTuple):
    """A Postgres password and when it ends, in seconds since the epoch."""

    token: Secret
    expires_at: float


@dataclass
class Tokens:
    """The table of tokens, by digest. It lives as long as the process; apps ask anew after a restart anyway.

    Args:
        clock: seconds since the epoch.
    """

    clock: Callable[[], float]
    _known: dict[bytes, tuple[str, float, frozenset[str]]] = field(default_factory=dict)
    _issued: dict[bytes, float] = field(default_factory=dict)

    def issue(self, principal: str, ttl: float, places: Collection[str] = ANYWHERE) -> Credential:
        """A new token, valid for `ttl` seconds; earlier ones stay valid for as long as they were.

        Args:
            principal: whose.
            ttl: seconds.
            places: the endpoint or instances that it opens, and no others.
        """
        now = self.clock()
        self._known = {k: v for k, v in self._known.items() if v[1] > now}
        token = secrets.token_urlsafe(48)
        self._issued = {k: at for k, at in self._issued.items() if k in self._known} | {_digest(token): now}
        self._known[_digest(token)] = (principal, now + ttl, frozenset(places))
        return Credential(Secret(token), now + ttl)

    def age(self, token: str) -> float:
        """Seconds since a token was issued; infinite for a password that is none."""
        return self.clock() - self._issued.get(_digest(token), float("-inf"))

    def accepts(self, principal: str, token: str, place: str = "") -> bool:
        """Whether this is a token of that principal for that place that has not ended."""
        owner, expires_at, made_for = self._known.get(_digest(token), ("", 0.0, frozenset()))
        return owner == principal and place in made_for and expires_at > self.clock()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
