"""The launcher's status document as types. Fields of a newer launcher stay in `raw`; missing ones are empty."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Self


@dataclass(frozen=True)
class Problem:
    """Why the last try failed; `time` is RFC 3339, here and everywhere below."""

    code: str = ""
    message: str = ""
    time: str = ""


@dataclass(frozen=True)
class Step:
    """One step of the start; `state` is done, running or failed."""

    step: str = ""
    state: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Death:
    """An end of a service that nobody asked for, with the last lines that it printed."""

    time: str = ""
    code: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: str | None = None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
    """The backend or the front end: whether it answers, and since when."""

    up: bool = False
    since: str | None = None
    restarts: int = 0
    deaths: tuple[Death, ...] = ()
    memory_bytes: int = 0
    pid: int | None = None


@dataclass(frozen=True)
class Services:
    """Both services of a release."""

    backend: Service = field(default_factory=Service)
    frontend: Service = field(default_factory=Service)


@dataclass(frozen=True)
class Token:
    """The OAuth token of the app's principal; None while there is none."""

    age_seconds: float | None = None
    life_seconds: float | None = None
    last_error: Problem | None = None


@dataclass(frozen=True)
class Credential:
    """The database's password: `kind` of the database; ages are None for one that is not fetched."""

    kind: str | None = None
    age_seconds: float | None = None
    expires_in_seconds: float | None = None
    renewals: int = 0
    failures: int = 0
    last_error: Problem | None = None


@dataclass(frozen=True)
class Memory:
    """Of the container, and what all processes of the app use of it."""

    limit_bytes: int = 0
    used_bytes: int = 0
    scarce: bool = False


@dataclass(frozen=True)
class EndpointSessions:
    """Open sessions of one endpoint by one route."""

    route: str | None = None
    endpoint: str = ""
    open: int = 0


@dataclass(frozen=True)
class Sessions:
    """Open MCP sessions."""

    open: int = 0
    by_endpoint: tuple[EndpointSessions, ...] = ()
    oldest_idle_seconds: float | None = None


@dataclass(frozen=True)
class Server:
    """The processes of one command that MetaMCP started: `servers` times, `count` with their descendants."""

    command: str = ""
    package: str | None = None
    servers: int = 0
    count: int = 0
    memory_bytes: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True)
class Processes:
    """All that descend from the backend, the largest first."""

    count: int = 0
    memory_bytes: int = 0
    by_server: tuple[Server, ...] = ()


@dataclass(frozen=True)
class Pin:
    """The upstream that a release was built from."""

    ref: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Release:
    """The release that runs, as its own description names it."""

    id: str | None = None
    pin: Pin = field(default_factory=Pin)
    tool: str | None = None


@dataclass(frozen=True)
class Known:
    """The known failure that a line of the log shows."""

    id: str = ""
    cause: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Line:
    """A line of the log; `source` is launcher, backend, frontend or migrate."""

    source: str = ""
    time: str = ""
    line: str = ""
    known: Known | None = None


@dataclass(frozen=True)
class Pool:
    """The backend's connections to the database; `waiting` are requests for one."""

    total: int = 0
    idle: int = 0
    waiting: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Document:
    """The whole of it; `raw` is what was sent, with fields that this version does not know."""

    format: int = 0
    status: str = ""
    step: str | None = None
    code: str = ""
    message: str = ""
    error: str | None = None
    cause: str | None = None
    fix: str | None = None
    failed_step: str | None = None
    failed_code: str | None = None
    steps: tuple[Step, ...] = ()
    attempts: int = 0
    started: str = ""
    uptime_seconds: float = 0.0
    release: Release = field(default_factory=Release)
    node: str = ""
    environment: tuple[str, ...] = ()
    services: Services = field(default_factory=Services)
    token: Token = field(default_factory=Token)
    credential: Credential = field(default_factory=Credential)
    memory: Memory = field(default_factory=Memory)
    sessions: Sessions = field(default_factory=Sessions)
    processes: Processes = field(default_factory=Processes)
    database_pool: Pool | None = None
    requests: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[Line, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self | None:
        """The document of JSON; None when it is none. A field of an unexpected type counts as missing."""
        if not isinstance(given.get("format"), int) or not isinstance(given.get("status"), str):
            return None
        return cls(**{**_values(cls, given), "raw": given})


def _values(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, hint in _hints(kind).items():
        value = _value(hint, given.get(name))
        if value is not None:
            found[name] = value
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}


def _value(hint: Any, given: Any) -> Any:
    """What was sent, as the type of a field; None where it is something else."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return _value(next(one for one in arguments if one is not types.NoneType), given)
    if origin is tuple:
        values = [_value(arguments[0], one) for one in given] if isinstance(given, list) else []
        return tuple(one for one in values if one is not None)
    if origin is not None:
        return given if isinstance(given, dict) else None
    if isinstance(hint, type) and is_dataclass(hint):
        return hint(**_values(hint, given)) if isinstance(given, dict) else None
    if hint is float:
        return float(given) if isinstance(given, int | float) and not isinstance(given, bool) else None
    if hint is int and isinstance(given, bool):
        return None
    return given if isinstance(given, hint) else None
