"""Database credentials of the embedded Lakebase: several valid at once for one principal, each with its own end."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from metamcp_deploy.config.secret import Secret

Named = Callable[[str], str]


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
    _known: dict[bytes, tuple[str, float, Named]] = field(default_factory=dict)

    def issue(self, principal: str, ttl: float, named: Named = str) -> Credential:
        """A new token, valid for `ttl` seconds; earlier ones stay valid for as long as they were.

        Args:
            principal: whose.
            ttl: seconds.
            named: what a database's name means to somebody with this token.
        """
        now = self.clock()
        self._known = {k: v for k, v in self._known.items() if v[1] > now}
        token = secrets.token_urlsafe(48)
        self._known[_digest(token)] = (principal, now + ttl, named)
        return Credential(Secret(token), now + ttl)

    def accepts(self, principal: str, token: str) -> bool:
        """Whether this is a token of that principal that has not ended."""
        owner, expires_at, _ = self._known.get(_digest(token), ("", 0.0, str))
        return owner == principal and expires_at > self.clock()

    def named(self, token: str, database: str) -> str:
        """Which database is meant by a name; the same without such a token."""
        return self._known.get(_digest(token), ("", 0.0, str))[2](database)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
