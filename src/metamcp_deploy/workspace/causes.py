"""Why a request got no answer."""

from __future__ import annotations

from typing import Any

import requests

from metamcp_deploy import knowledge
from metamcp_deploy.errors import DeployError

_NOT_TRUSTED = "its TLS certificate is not trusted"


def unreachable(host: str, what: str, error: Exception, seconds: float) -> DeployError:
    """The error for a host that did not answer."""
    why = reason(error)
    id_ = "workspace-not-trusted" if why == _NOT_TRUSTED else "workspace-unreachable"
    known = knowledge.by_id("workspace", id_)
    values = {"host": host, "why": why, "what": what, "seconds": f"{seconds:.0f}"}
    return known.error_of(str(error)[:500], values)


def reason(error: BaseException) -> str:
    """Why a connection failed, in few words, from the exceptions that caused it."""
    names = {type(e).__name__ for e in _causes(error)}
    for name, words in (
        ("NameResolutionError", "its name is unknown"),
        ("gaierror", "its name is unknown"),
        ("ConnectionRefusedError", "connection refused, nothing listens there"),
        ("ProxyError", "the proxy refused"),
        ("SSLError", _NOT_TRUSTED),
        ("SSLCertVerificationError", _NOT_TRUSTED),
        ("ConnectTimeout", "no connection in time"),
        ("ConnectTimeoutError", "no connection in time"),
        ("ReadTimeout", "no answer in time"),
        ("ConnectionResetError", "the connection was reset"),
    ):
        if name in names:
            return words
    return type(error).__name__


def hopeless(error: BaseException) -> bool:
    """Whether trying again cannot help: a certificate that is not trusted, an impossible URL."""
    known = (
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidSchema,
    )
    return isinstance(error, known)


def never_arrived(error: BaseException) -> bool:
    """Whether the request cannot have reached the server."""
    names = {type(e).__name__ for e in _causes(error)}
    return bool(names & {"NameResolutionError", "gaierror", "ConnectionRefusedError", "ConnectTimeoutError"})


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    todo: list[Any] = [error]
    while todo:
        e = todo.pop()
        if isinstance(e, BaseException) and e not in found:
            found.append(e)
            todo += [e.__cause__, e.__context__, getattr(e, "reason", None), *e.args]
    return found
