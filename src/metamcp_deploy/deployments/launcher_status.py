"""What an app's launcher says of itself: the document of `/.metamcp-deploy/status`, asked with the caller's login.

The launcher answers its operators, and whoever has CAN_MANAGE on the app: the caller's token goes along in a header of
its own, because the platform's proxy may keep `Authorization` to itself. `docs/launcher.md` lists the fields.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from metamcp_deploy.deployments.launcher_document import Document

if TYPE_CHECKING:
    import requests

    from metamcp_deploy.workspace import Workspace

PATH = "/.metamcp-deploy/status"
TOKEN_HEADER = "X-Metamcp-Deploy-Token"  # noqa: S105 -- the name of a header
_CONNECT_SECONDS = 5.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_UNCHECKED = frozenset({"token_unchecked", "too_many_checks"})  # the launcher's codes


class Outcome(StrEnum):
    """What came of asking."""

    ANSWERED = "answered"
    NOT_AUTHENTICATED = "not_authenticated"  # 401, or the platform's login page
    NOT_PERMITTED = "not_permitted"  # 403: neither an operator nor somebody who manages the app
    UNCHECKED = "unchecked"  # the launcher could not ask the workspace whose the token is
    OLDER = "older"  # the app runs a release whose launcher has no status
    SILENT = "silent"  # no answer in time, or none at all


@dataclass(frozen=True)
class Reading:
    """An answer to the question for the status.

    Attributes:
        outcome: what came of it.
        document: the status; None unless `outcome` is `answered`.
        detail: what the answer says, for people; empty where there is nothing to add.
        seconds: that it took.
    """

    outcome: Outcome
    document: Document | None
    detail: str
    seconds: float


def read(workspace: Workspace, app_url: str, seconds: float = 5.0) -> Reading:
    """Asks an app for its status.

    Args:
        workspace: the login; its token goes to this app only.
        app_url: origin of the app, as the workspace tells it.
        seconds: to wait for the answer at most.

    Raises:
        DeployError: AUTH_FAILED, when the login gives no OAuth token. Answers of the app, none too, are no errors.
    """
    import requests

    headers = workspace.app_headers()
    headers[TOKEN_HEADER] = headers["Authorization"].removeprefix("Bearer ")
    began = time.monotonic()

    def signed(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`: requests would replace the Authorization header by what a ~/.netrc holds for the host.
        prepared.headers.update({**headers, "Accept": "application/json"})
        return prepared

    try:
        answer = workspace.network.requests_session().get(
            app_url.rstrip("/") + PATH,
            auth=signed,
            allow_redirects=False,
            timeout=(min(_CONNECT_SECONDS, seconds), seconds),
        )
    except requests.exceptions.RequestException as e:
        return _reading(Outcome.SILENT, began, detail=type(e).__name__)
    return _meaning(answer, began)


def _meaning(answer: requests.Response, began: float) -> Reading:
    said = _json(answer)
    document = Document.of(said) if answer.status_code == 200 else None
    if document is not None:
        return _reading(Outcome.ANSWERED, began, document)
    message, code = str(said.get("message") or ""), said.get("code")
    if code in _UNCHECKED:
        return _reading(Outcome.UNCHECKED, began, detail=message)
    if answer.status_code in _REDIRECTS:
        return _older_or_login(answer, began)
    if answer.status_code == 401:
        return _reading(Outcome.NOT_AUTHENTICATED, began, detail=message)
    if answer.status_code == 403:
        return _reading(Outcome.NOT_PERMITTED, began, detail=message)
    if answer.status_code in (502, 504):
        return _reading(Outcome.SILENT, began, detail=f"HTTP {answer.status_code}")
    return _reading(Outcome.OLDER, began, detail=f"HTTP {answer.status_code}")


def _older_or_login(answer: requests.Response, began: float) -> Reading:
    """MetaMCP's own pages redirect within the app, the platform's proxy to its login."""
    from urllib.parse import urlsplit

    place = answer.headers.get("Location", "")
    if urlsplit(place).netloc in ("", urlsplit(answer.url).netloc):
        return _reading(Outcome.OLDER, began, detail=f"HTTP {answer.status_code}")
    return _reading(Outcome.NOT_AUTHENTICATED, began, detail=f"redirect to {place.partition('?')[0]}")


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _reading(outcome: Outcome, began: float, document: Document | None = None, detail: str = "") -> Reading:
    return Reading(outcome, document, detail, round(time.monotonic() - began, 3))
