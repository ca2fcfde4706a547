"""What a workspace's answer that is an error means, in words, and what to do about it."""

from __future__ import annotations

import json
import re
import urllib.parse

import requests

from metamcp_deploy.errors import Code, DeployError


class ApiError(DeployError):
    """An answer that is an error: `status` is HTTP's, `error_code` the API's own (empty when it gave none)."""

    def __init__(
        self, code: Code, message: str, *, hint: str, detail: str | None, status: int, error_code: str
    ) -> None:
        super().__init__(code, message, hint=hint, detail=detail)
        self.status = status
        self.error_code = error_code


_BY_ERROR_CODE = {
    "RESOURCE_DOES_NOT_EXIST": Code.NOT_FOUND,
    "NOT_FOUND": Code.NOT_FOUND,
    "FEATURE_DISABLED": Code.FEATURE_MISSING,
    "RESOURCE_ALREADY_EXISTS": Code.ALREADY_EXISTS,
    "ALREADY_EXISTS": Code.ALREADY_EXISTS,
    "PERMISSION_DENIED": Code.PERMISSION_DENIED,
    "UNAUTHENTICATED": Code.AUTH_FAILED,
    "RESOURCE_EXHAUSTED": Code.RATE_LIMITED,
    "REQUEST_LIMIT_EXCEEDED": Code.RATE_LIMITED,
}
_BY_STATUS = {
    401: Code.AUTH_FAILED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ALREADY_EXISTS,
    429: Code.RATE_LIMITED,
}
# What the gateway in front of all APIs says: "Source IP address: … is blocked by Databricks IP ACL for workspace: …",
# for private links "Unauthorized network access to workspace: …", and for an API that a workspace does not have "No API
# found for 'GET /…'". Each comes with a code that also means other things.
_BY_WORDS = (
    (re.compile(r"\bIP ACL\b|\bIP access list|Unauthorized network access", re.I), Code.ADDRESS_REFUSED),
    (re.compile(r"^No API found for ", re.I), Code.FEATURE_MISSING),
)
HINTS = {
    Code.AUTH_FAILED: "Log in again: databricks auth login --host {host}",
    Code.PERMISSION_DENIED: "See what is needed and whom to ask: metamcp-deploy preflight",
    Code.ADDRESS_REFUSED: "Use the network (VPN, runner) that this workspace lets in, or ask a workspace admin to add "
    "your address to its IP access list.",
    Code.FEATURE_MISSING: "Ask a workspace admin whether {feature} can be enabled in this workspace and its region.",
    Code.NOT_FOUND: "Check the names of the target: metamcp-deploy config show --origin",
    Code.ALREADY_EXISTS: "Run the same command again; if it repeats, choose another name for it.",
    Code.RATE_LIMITED: "Wait a minute and run the same command again.",
    Code.REQUEST_REFUSED: "Check what the target asks for: metamcp-deploy config show --origin",
    Code.WORKSPACE_ANSWER: "Check workspace.host, then the state of the workspace, and run the command again.",
}
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
        return ApiError(
            Code.AUTH_FAILED,
            f"{where} answered {status}, a redirect to {to.netloc or host}{to.path}: the credential was "
            "not accepted, or this is not a workspace's host.",
            hint=HINTS[Code.AUTH_FAILED].format(host=host),
            detail=None,
            status=status,
            error_code="",
        )
    error_code, message = _said(response)
    words = f"{where} answered {status}" + (f" {error_code}" if error_code else "")
    code = _meaning(status, error_code, message)
    feature = next((name for start, name in _FEATURES.items() if path.startswith(start)), "this API")
    return ApiError(
        code,
        words + (f": {message}" if message else "."),
        hint=HINTS[code].format(host=host, feature=feature),
        detail=None if message else response.text[:300] or None,
        status=status,
        error_code=error_code,
    )


def no_object(host: str, method: str, path: str, response: requests.Response) -> ApiError:
    """The error for a success whose content is not what every API answers."""
    what = "an HTML page" if _is_html(response) else "something that is no JSON object"
    return ApiError(
        Code.WORKSPACE_ANSWER,
        f"{method} {path} on {host} answered with {what}: this is not a workspace's API.",
        hint="Check workspace.host (or the profile's host): it is the origin of a workspace, as in "
        "https://dev.example.com.",
        detail=response.text[:300],
        status=response.status_code,
        error_code="",
    )


def address_refused(text: str) -> bool:
    """Whether a text, of whichever library, repeats that the caller's network address is not let in."""
    return bool(_BY_WORDS[0][0].search(text))


def _meaning(status: int, error_code: str, message: str) -> Code:
    by_words = next((code for pattern, code in _BY_WORDS if pattern.search(message)), None)
    if by_words and status < 500:
        return by_words
    known = _BY_ERROR_CODE.get(error_code) or _BY_STATUS.get(status)
    return known or (Code.REQUEST_REFUSED if status < 500 else Code.WORKSPACE_ANSWER)


def _is_html(response: requests.Response) -> bool:
    kind: str = response.headers.get("Content-Type", "")
    return "html" in kind or response.content.lstrip()[:1] == b"<"


def _said(response: requests.Response) -> tuple[str, str]:
    """The API's error code and message; SCIM and OAuth spell them differently."""
    try:
        document = response.json()
    except (ValueError, json.JSONDecodeError):
        return "", "an HTML page, not a workspace's API" if _is_html(response) else ""
    if not isinstance(document, dict):
        return "", ""
    error_code = document.get("error_code") or document.get("scimType") or document.get("error") or ""
    message = document.get("message") or document.get("detail") or document.get("error_description") or ""
    return str(error_code), str(message)
