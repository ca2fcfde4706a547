"""How an embedded workspace runs."""

from __future__ import annotations

from dataclasses import dataclass

USER = "developer@example.com"  # to whom the workspace belongs


@dataclass(frozen=True)
class Options:
    """What `up` can choose.

    Attributes:
        token_ttl: seconds a database credential lives.
        tls: Postgres speaks TLS only.
        forward_authorization: the proxies hand the caller's workspace token on to the app. Unsure on the platform,
            so an app must work either way; off by default, the stricter of the two for what the app can see.
        realistic: the platform's own times and limits, times this; 0 for neither.
        overlap: on redeploy the old process answers until the new one does. Unsure on the platform; off by default,
            so that there is a gap.
        unified: the host serves several workspaces, so each request of the API has to name this one.
        instances: new provisioned database instances can be made, as until March 2026; for what needs one.
    """

    token_ttl: float = 3600.0
    tls: bool = False
    forward_authorization: bool = False
    realistic: float = 0.0
    overlap: bool = False
    unified: bool = False
    instances: bool = False

    def said(self) -> list[str]:
        """What differs from the defaults, as options of `local up`."""
        flags = [flag for name, flag in _FLAGS.items() if getattr(self, name)]
        ttl = [] if self.token_ttl == Options.token_ttl else [f"--token-ttl {self.token_ttl:g}"]
        pace = [f"--realistic --scale {self.realistic:g}"] if self.realistic else []
        return [*ttl, *flags, *pace]


_FLAGS = {
    "tls": "--tls",
    "forward_authorization": "--forward-authorization",
    "overlap": "--overlap",
    "unified": "--unified",
    "instances": "--instances",
}
