"""Translates the settings under `network` and the usual variables into each tool's own form."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy.network import npm
from metamcp_deploy.network.proxies import Proxies
from metamcp_deploy.network.trust import Trust

if TYPE_CHECKING:
    import requests

    from metamcp_deploy.config import model


# What `configure_sdk` has set in this process's environment, and what stood there before.
_changed: dict[str, tuple[str, str | None]] = {}


@dataclass(frozen=True)
class Network:
    """How to reach anything outside. Made by `of`; settings win over the environment's variables."""

    trust: Trust
    proxies: Proxies
    npm_registry: str | None
    _settings: model.Network = field(repr=False)
    _environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(
        cls, settings: model.Network, environ: Mapping[str, str] | None = None, *, kept: Path | None = None
    ) -> Network:
        """Merges the settings with the environment (the process's own when None) and checks all of it.

        `kept` is the folder for files of certificates; None is the user's cache.

        Raises:
            DeployError: CONFIG_INVALID naming the setting or variable that cannot be used.
        """
        values = _callers_environment() if environ is None else dict(environ)
        return cls(
            trust=Trust.of(settings.ca_bundle, values, kept),
            proxies=Proxies.of(settings.proxy, settings.no_proxy, values),
            npm_registry=npm.checked_registry(settings.npm_registry, values),
            _settings=settings,
            _environ=values,
        )

    def git_environment(self) -> dict[str, str]:
        """What git needs besides `process.base_environment()`. Its CA variable replaces the system's store."""
        bundle = {"GIT_SSL_CAINFO": str(self.trust.combined())} if self.trust.named else {}
        return {**bundle, **self.proxies.environment()}

    def user_npmrc(self) -> dict[str, str]:
        """By which npm and pnpm read the user's own settings although their HOME is another."""
        return npm.explicit(self._environ)

    def program_environment(self) -> dict[str, str]:
        """What a Node program needs that has no business with a registry: proxies and certificates."""
        extra = self.trust.extra()
        return {**self.proxies.environment(), **({"NODE_EXTRA_CA_CERTS": str(extra)} if extra else {})}

    def node_environment(self, project_npmrc: Iterable[Path] = ()) -> dict[str, str]:
        """What Node, npm and pnpm need besides `process.base_environment()`, to reach the registry as the user does.

        Args:
            project_npmrc: the .npmrc files of the tree that is built; variables they refer to are passed on.
        """
        values = {**npm.passed_on(self._environ, project_npmrc), **self.program_environment()}
        settled: dict[str, str | None] = {"registry": self._settings.npm_registry}
        if self._settings.ca_bundle:
            settled["cafile"] = str(self.trust.combined())
        if self.proxies.settled and self.proxies.https:
            proxy = self.proxies.https.reveal()
            settled |= {"proxy": proxy, "https_proxy": proxy, "noproxy": ",".join(self.proxies.direct)}
        for name, value in settled.items():
            if value:
                # npm takes any case, and then which one wins is chance.
                values = {k: v for k, v in values.items() if k.lower() != f"npm_config_{name}"}
                values[f"npm_config_{name}"] = value
        if self.npm_registry:
            values["COREPACK_NPM_REGISTRY"] = self.npm_registry.rstrip("/")
        return values

    def requests_session(self) -> requests.Session:
        """A session that obeys these settings and nothing else of the environment (no .netrc)."""
        from metamcp_deploy.network.session import session

        return session(str(self.trust.combined()), self.proxies)

    def configure_sdk(self) -> None:
        """Lets databricks.sdk, and the databricks CLI that it may start, obey these settings.

        The SDK asks for tokens through `requests.post` and the like, which take nothing but the environment of this
        process; so that is what is changed, for the rest of its life. Loopback is kept off any proxy.
        """
        bundle = str(self.trust.combined())
        wanted = {"REQUESTS_CA_BUNDLE": bundle, **self.proxies.environment()}
        if self.trust.named:
            wanted["SSL_CERT_FILE"] = bundle  # the databricks CLI's
        before = _callers_environment()
        for name, value in wanted.items():
            _changed[name] = (value, before.get(name))
            os.environ[name] = value

    def websocket_options(self, url: str) -> dict[str, Any]:
        """Keyword arguments `ssl`, `proxy` (and `proxy_ssl`) for `websockets.sync.client.connect(url, ...)`."""
        import ssl

        def context() -> ssl.SSLContext:
            return ssl.create_default_context(cafile=str(self.trust.combined()))

        proxy = self.proxies.of_url(url)
        options: dict[str, Any] = {
            "ssl": context() if url.startswith("wss:") else None,
            "proxy": proxy.reveal() if proxy else None,
        }
        if proxy and proxy.reveal().startswith("https:"):
            options["proxy_ssl"] = context()
        return options


def _callers_environment() -> dict[str, str]:
    """The environment as the caller gave it, without what `configure_sdk` made of it."""
    values = dict(os.environ)
    for name, (ours, before) in _changed.items():
        if values.get(name) == ours:
            del values[name]
            if before is not None:
                values[name] = before
    return values
