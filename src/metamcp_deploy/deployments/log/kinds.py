"""Whose a line is, and how bad: from what the launcher and MetaMCP write before and in it.

The launcher marks the lines of services (`[backend] …`), MetaMCP those of MCP servers (`[MetaMCP][NAME] …`). Few lines
state a level; of the others their words decide, and what continues a line (a stack, fields of an error) is as bad as
that line.
"""

from __future__ import annotations

import re
from enum import StrEnum

from metamcp_deploy.events import LogLine


class Service(StrEnum):
    """Who wrote a line."""

    backend = "backend"
    frontend = "frontend"
    launcher = "launcher"
    mcp = "mcp"
    system = "system"


class Level(StrEnum):
    """How bad a line is, worst first."""

    error = "error"
    warning = "warning"
    info = "info"
    debug = "debug"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Level).index(self)


_MARK = re.compile(r"\[(backend|frontend|migrate)\] ?")
_OF_MCP = re.compile(r"\[MetaMCP\]\[(?!client\]|Databricks\])")
_LOOKED_AT = 400  # characters
_STATED = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL)\b|\"?level\"?[=:]\s*\"?(\w+)|\[DEBUG"
)
_STATES = {
    "trace": Level.debug,
    "debug": Level.debug,
    "info": Level.info,
    "notice": Level.info,
    "warn": Level.warning,
    "warning": Level.warning,
    "error": Level.error,
    "fatal": Level.error,
    "critical": Level.error,
}
_BAD = re.compile(
    r"error\b|exception\b|\b(?:fail(?:ed|ure)|crash(?:ed)?|denied|refused|cannot|unhandled|uncaught|fatal|panic)\b|[✗✘❌⨯]",
    re.IGNORECASE,
)
_WARNING = re.compile(r"\bwarn|deprecat|⚠", re.IGNORECASE)
_CONTINUES = re.compile(r"\s{2,}|\t|[}\])]+[;,]?\s*(?:\{|$)")


def service(line: LogLine) -> Service | None:
    """Who wrote it; None for what the stream gave without a source or a mark."""
    if line.source == "SYSTEM":
        return Service.system
    mark = _MARK.match(line.message)
    if mark is None:
        return Service.launcher if line.source or line.message.startswith("[MetaMCP][Databricks]") else None
    if mark[1] == "migrate":
        return Service.launcher
    return Service.mcp if _OF_MCP.match(line.message, mark.end()) else Service(mark[1])


class Levels:
    """Judges one line after the other."""

    def __init__(self) -> None:
        self._before: dict[Service | None, Level] = {}

    def of(self, line: LogLine) -> Level:
        """How bad the next line is."""
        who = service(line)
        mark = _MARK.match(line.message)
        text = line.message[mark.end() if mark else 0 :][:_LOOKED_AT]
        if who in self._before and _CONTINUES.match(text):
            return self._before[who]
        self._before[who] = level = _level(text)
        return level


def _level(text: str) -> Level:
    if stated := _STATED.search(text):
        word = stated[1] or stated[2] or "debug"
        if word.lower() in _STATES:
            return _STATES[word.lower()]
    if _BAD.search(text):
        return Level.error
    return Level.warning if _WARNING.search(text) else Level.info
