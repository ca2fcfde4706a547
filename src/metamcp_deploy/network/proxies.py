"""Selects the proxy for a URL. Loopback URLs never use one."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Proxies:
    """Proxy URLs, secret since they can hold a password, and the hosts that are reached directly.

    Attributes:
        http: for http and ws URLs.
        https: for https and wss URLs.
        direct: host names, suffixes (`.example.com`), addresses, networks or `*`, each with or without a port.
        settled: whether the settings name the proxy; then it also wins over a tool's own configuration.
    """

    http: Secret | None
    https: Secret | None
    direct: tuple[str, ...]
    settled: bool

    @classmethod
    def of(cls, proxy: str | None, no_proxy: str | None, environ: Mapping[str, str]) -> Proxies:
        """The settings' proxy and hosts, else those of the usual variables, in lower or upper case.

        Raises:
            DeployError: CONFIG_INVALID naming the setting or variable, never the URL: it can hold a password.
        """
        http: Secret | None
        https: Secret | None
        if proxy:
            http = https = _checked(proxy, "network.proxy")
        else:
            http, https = (_from_environment(scheme, environ) for scheme in ("http", "https"))
        listed = (
            no_proxy if no_proxy is not None else (environ.get("no_proxy") or environ.get("NO_PROXY") or "")
        )
        hosts = (h.strip().lower() for h in listed.replace(" ", ",").split(","))
        return cls(http, https, tuple(dict.fromkeys((*filter(None, hosts), *LOOPBACK))), bool(proxy))

    def of_url(self, url: str) -> Secret | None:
        """The proxy for this URL, or None."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme in ("https", "wss") else self.http
        if proxy is None or _bypassed(parts.hostname or "", parts.port, self.direct):
            return None
        return proxy

    def environment(self) -> dict[str, str]:
        """The usual variables in both cases (curl reads `http_proxy` in lower case only, others the other way)."""
        values = {
            "http_proxy": self.http.reveal() if self.http else "",
            "https_proxy": self.https.reveal() if self.https else "",
            "no_proxy": ",".join(self.direct),
        }
        if not (self.http or self.https):
            return {}
        return {case(name): v for name, v in values.items() if v for case in (str.lower, str.upper)}


def _from_environment(scheme: str, environ: Mapping[str, str]) -> Secret | None:
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"):
        if environ.get(name):
            return _checked(environ[name], f"The environment variable {name}")
    return None


def _checked(text: str, origin: str) -> Secret:
    url = text if "://" in text else f"http://{text}"
    problem = None
    try:
        parts = urlsplit(url)
        if parts.scheme.lower() not in ("http", "https"):
            problem = f"proxies of the kind {parts.scheme}:// cannot be used by all tools that need one"
        elif not parts.hostname or parts.port == 0 or parts.path not in ("", "/") or parts.query:
            problem = "it is not a URL of a host and a port"
        elif parts.username is not None and parts.password is None:
            problem = "it names a user without a password"
    except ValueError:
        problem = "its host or port is malformed"
    if problem:
        raise DeployError(
            Code.CONFIG_INVALID,
            f"{origin} is no usable proxy URL: {problem}.",
            hint=f"Give {origin.removeprefix('The environment variable ')} the form "
            "http://[user:password@]host:port",
        )
    return Secret(url)


def _bypassed(host: str, port: int | None, direct: tuple[str, ...]) -> bool:
    host = host.lower().rstrip(".")
    address = _address(host)
    if host.endswith(".localhost") or (address and address.is_loopback):
        return True
    return any(_matches(host, address, port, entry) for entry in direct)


def _matches(
    host: str,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
    port: int | None,
    entry: str,
) -> bool:
    if entry == "*":
        return True
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit() and ":" not in name:
        return str(port) == wanted and _matches(host, address, None, name)
    if address:
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            return False
    suffix = entry.removeprefix("*").removeprefix(".")
    return host == suffix or host.endswith("." + suffix)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
