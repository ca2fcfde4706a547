"""Calls of the SDK's own: bounded in time, which it does not do, and their failures in words."""

from __future__ import annotations

import os
import re
import shlex
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import causes, refusals

if TYPE_CHECKING:
    from metamcp_deploy.workspace.host_check import HostCheck

T = TypeVar("T")

_PAUSE_SECONDS = 1.0
_NO_PROFILE = re.compile(r"resolve: (.+?) has no (\S+) profile configured")  # the SDK's words
# What to look at when a pipeline's own way to log in fails.
_POLICY = (
    "DATABRICKS_CLIENT_ID must be of a service principal whose federation policy names the token's issuer, subject and "
    "audience (docs/ci.md)."
)
_OF_PIPELINES = {
    "github-oidc": f"Give the job `permissions: id-token: write`. {_POLICY}",
    "env-oidc": f"Put the token into DATABRICKS_OIDC_TOKEN (or another, see DATABRICKS_OIDC_TOKEN_ENV). {_POLICY}",
    "file-oidc": f"Name the token's file in DATABRICKS_OIDC_TOKEN_FILEPATH. {_POLICY}",
    "oauth-m2m": "Set DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET to those of a service principal.",
}


def twice(call: Callable[[], T], check: HostCheck) -> T:
    """Makes a login, and once more if it failed: the SDK does not distinguish a temporary failure from a refusal.

    Raises:
        DeployError: of the second try, or of the first where that took long already.
    """
    check.begin()
    try:
        return call()
    except DeployError as e:
        passing = e.code in (Code.AUTH_FAILED, Code.WORKSPACE_UNREACHABLE)
        if not passing or check.waited > check.waits.answer / 2:
            raise
    check.clock.sleep(_PAUSE_SECONDS)
    return call()


def bounded(call: Callable[[], Any], check: HostCheck) -> Any:
    """Runs one of the SDK's authentication calls for a part of `waits.answer`, so that it can be made twice.

    The SDK's token request has no limit of its own, nor have the programs that it runs.

    Args:
        call: without arguments.
        check: of the login's host.

    Raises:
        DeployError: WORKSPACE_UNREACHABLE, ADDRESS_REFUSED, AUTH_FAILED; what `call` raises of this kind.
    """
    done: list[Any] = []
    host = check.host
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(call())
        except BaseException as e:
            failed.append(e)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    seconds = 0.4 * check.waits.answer
    thread.join(seconds)
    if done:
        return done[0]
    if not failed:
        waited = max(seconds, check.waited)
        text = f"{host} did not answer the request for a token within {waited:.0f} s."
        hint = f"Check the network and proxy settings: curl -sI {host}"
        raise DeployError(Code.WORKSPACE_UNREACHABLE, text, hint=hint, known="workspace-unreachable")
    error = failed[0]
    if isinstance(error, DeployError) or not isinstance(error, Exception):
        raise error
    if known := refusals.address_refused(str(error)):
        raise known.error_of(str(error)[:800], {"host": host}) from error
    if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
        raise causes.unreachable(host, "the request for a token", error, check.waited) from error
    raise not_logged_in(host, check.source, str(error)) from error


def not_logged_in(host: str | None, source: str, said: str) -> DeployError:
    """The error for a login that nobody accepts, with what the SDK said of it."""
    where = host or "the workspace"
    if missing := _NO_PROFILE.search(said):
        file, name = missing.groups()
        return DeployError(
            Code.AUTH_FAILED,
            f"There is no profile {name} in {file}.",
            hint=f"See those that are there: grep '^\\[' {shlex.quote(file)}; or make it: "
            f"databricks auth login --host {host or 'https://<workspace>'} --profile {shlex.quote(name)}",
            detail=said[:800],
            known="auth-failed",
        )
    login = f"databricks auth login --host {host or 'https://<workspace>'}"
    otherwise = (
        f"{login} (in a pipeline: DATABRICKS_AUTH_TYPE=github-oidc, or DATABRICKS_CLIENT_ID and _SECRET)"
    )
    return DeployError(
        Code.AUTH_FAILED,
        f"{source} could not log in to {where}.",
        hint=_OF_PIPELINES.get(os.environ.get("DATABRICKS_AUTH_TYPE", ""), otherwise),
        detail=said[:800],
        known="auth-failed",
    )
