"""Errors for what a workspace refuses; `knowledge/workspace` says what each means and what ends it."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

import requests

from metamcp_deploy import knowledge, resources
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    from metamcp_deploy.knowledge.entry import Entry


class ApiError(DeployError):
    """An answer that is an error: `status` is HTTP's, `error_code` the API's own (empty when it gave none)."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        hint: str,
        detail: str | None,
        status: int,
        error_code: str,
        known: str = "",
    ) -> None:
        super().__init__(code, message, hint=hint, detail=detail, known=known)
        self.status = status
        self.error_code = error_code


_FEATURES = {
    "/api/2.0/apps": "Databricks Apps",
    "/api/2.0/postgres/": "Lakebase",
    "/api/2.0/database/": "Lakebase (provisioned)",
}


def refusal(host: str, method: str, path: str, response: requests.Response) -> ApiError:
    """The error for an answer that is none of success, or a redirect, which is never followed."""
    status = response.status_code
    where = f"{method} {path} on {host}"
    if response.is_redirect:
        to = urllib.parse.urlsplit(response.headers.get("Location", ""))
        words = (
            f"{where} answered {status}, a redirect to {to.netloc or host}{to.path}: the credential was "
            "not accepted, or this is not a workspace's host."
        )
        known = _known(state="redirect")
        return _error(known, words, known.hint({"host": host}), detail=None, status=status)
    error_code, message = _said(response)
    words = f"{where} answered {status}" + (f" {error_code}" if error_code else "")
    feature = next((name for start, name in _FEATURES.items() if path.startswith(start)), "this API")
    known = _known(
        http=status,
        error_code=error_code,
        body=message if status < 500 else "",  # a gateway's page may hold any words
        state=_state(status, error_code),
    )
    return _error(
        known,
        words + (f": {message}" if message else "."),
        known.hint({"host": host, "feature": feature}),
        detail=None if message else response.text[:300] or None,
        status=status,
        error_code=error_code,
    )


def login_ended(response: requests.Response) -> bool:
    """Whether a request was refused for its token, which a new one may end: by 401, or by 403 and what it says."""
    if response.status_code != 403:
        return bool(response.status_code == 401)
    error_code, message = _said(response)
    return _known(http=403, error_code=error_code, body=message, state="refused").error is Code.AUTH_FAILED


def no_object(host: str, method: str, path: str, response: requests.Response) -> ApiError:
    """The error for a success whose content is not what every API answers."""
    what = "an HTML page" if _is_html(response) else "something that is no JSON object"
    known = _known(state="no_object")
    words = f"{method} {path} on {host} answered with {what}: this is not a workspace's API."
    return _error(known, words, known.hint(), detail=response.text[:300], status=response.status_code)


def address_refused(text: str) -> Entry | None:
    """What is known of it if a text, of whichever library, repeats that the caller's address is not let in."""
    return knowledge.recognise("workspace", output=text)


def _state(status: int, error_code: str) -> str:
    """What a status says together with an API's own code: 409 means "exists" only where no code says otherwise."""
    if status >= 500:
        return "failed"
    if not error_code:
        return "uncoded"
    return "conflict" if status == 409 else "refused"


def _known(**seen: Any) -> Entry:
    known = knowledge.recognise("workspace", **seen)
    assert known, seen  # noqa: S101 -- each state has an entry of its own
    return known


def _error(
    known: Entry, message: str, hint: str, *, detail: str | None, status: int, error_code: str = ""
) -> ApiError:
    assert known.error, known.id  # noqa: S101 -- each file of knowledge/workspace has it
    return ApiError(
        known.error, message, hint=hint, detail=detail, status=status, error_code=error_code, known=known.id
    )


def _is_html(response: requests.Response) -> bool:
    kind: str = response.headers.get("Content-Type", "")
    return "html" in kind or response.content.lstrip()[:1] == b"<"


def _said(response: requests.Response) -> tuple[str, str]:
    """The API's error code and message; SCIM and OAuth spell them differently."""
    try:
        document = resources.parsed_json(response.content)
    except ValueError:
        return "", "an HTML page, not a workspace's API" if _is_html(response) else response.text.strip()[
            :300
        ]
    if not isinstance(document, dict):
        return "", ""
    error_code = document.get("error_code") or document.get("scimType") or document.get("error") or ""
    message = document.get("message") or document.get("detail") or document.get("error_description") or ""
    return str(error_code), str(message)
