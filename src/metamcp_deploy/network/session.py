"""HTTP sessions. The only module of this part that imports requests."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter

from metamcp_deploy.network.proxies import Proxies


class _Adapter(HTTPAdapter):
    """Chooses the proxy for each request, redirected ones included: requests itself would ask the environment."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        proxy = self._proxies.of_url(request.url or "")
        chosen = {"http": proxy.reveal(), "https": proxy.reveal()} if proxy else {}
        if len(args) == 5:  # stream, timeout, verify, cert, proxies
            args = args[:4]
        return super().send(request, *args, **{**kwargs, "proxies": chosen})


def session(bundle: str, proxies: Proxies) -> requests.Session:
    """A session that trusts the certificates in `bundle` and uses these proxies."""
    made = requests.Session()
    made.trust_env = False
    made.verify = bundle
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter(proxies))
    return made
