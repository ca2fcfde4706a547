"""The embedded workspace of a folder that has none yet, for plans: whoever looks into it sees that nothing is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter

from metamcp_deploy.local.options import USER
from metamcp_deploy.network import Network
from metamcp_deploy.workspace import Workspace
from metamcp_deploy.workspace.login import Login
from metamcp_deploy.workspace.transport import Unconfigured

_HOST = "http://nothing-yet.invalid"  # of requests, which nobody sends; people see NAME
NAME = "the embedded workspace that is not made yet"
_ME = "/api/2.0/preview/scim/v2/Me"
_LISTS = (
    "/api/2.0/apps",
    "/api/2.0/postgres/projects",
    "/api/2.0/database/instances",
    "/api/2.0/secrets/scopes/list",
)


class _Nothing(BaseAdapter):
    """Answers as a workspace without anything in it; nothing leaves this process."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        path = urlsplit(request.url or "").path
        response = requests.Response()
        response.request, response.url = request, str(request.url)
        known: Mapping[str, Any] = {
            _ME: {"userName": USER, "groups": [{"display": "admins"}]},
            **{path: {} for path in _LISTS},
        }
        missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"{path} does not exist."}
        response.status_code = 200 if path in known else 404
        response.headers["Content-Type"] = "application/json"
        response._content = json.dumps(known.get(path, missing)).encode()
        return response

    def close(self) -> None:
        """There is nothing to close."""


def workspace(network: Network) -> Workspace:
    """A workspace that `deploy` is about to make."""

    def session() -> requests.Session:
        made = requests.Session()
        made.mount(_HOST, _Nothing())
        return made

    login = Login(_HOST, "oauth-m2m", "", "the embedded workspace", Unconfigured(), dict)
    made = Workspace(lambda: login, network, session=session)
    made.host = NAME
    return made
