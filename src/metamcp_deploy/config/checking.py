"""Validates a working folder's configuration, every target of it, without any access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from metamcp_deploy import events
from metamcp_deploy.config import document, sources
from metamcp_deploy.config.guarding import LOCKED_OUT_HINT, locked_out, unlocked
from metamcp_deploy.config.loading import existing, load
from metamcp_deploy.config.origin import FILE, ConfigurationError, Problem, ordered
from metamcp_deploy.config.reading import read_targets


def check(
    folder: Path, *, target: str | None = None, environ: Mapping[str, str] | None = None
) -> list[Problem]:
    """What is wrong with metamcp.yaml and `.env`; nothing when every target could be used.

    Args:
        folder: holds them.
        target: also hold this target against `.env` and the environment, as a command with `-t` would.
        environ: the process's environment when None.

    Raises:
        DeployError: FILE_ACCESS, TARGET_UNKNOWN.
    """
    folder = existing(folder)
    problems = [*_found(lambda: sources.layer(sources.dotenv(folder))), *_found(lambda: _file(folder))]
    if target is not None and not problems:
        problems = _found(lambda: load(folder, target=target, environ=environ))
    return ordered(problems)


def _found(part: Callable[[], object]) -> list[Problem]:
    try:
        part()
    except ConfigurationError as e:
        return e.problems
    return []


def _file(folder: Path) -> None:
    for made in read_targets(document.read(folder), folder).values():
        if text := unlocked(made.settings):
            events.emit(
                events.Warned(text, f"Add upstream.commit to {FILE}; `metamcp-deploy prepare` prints it.")
            )
        if text := locked_out(made.settings):
            events.emit(events.Warned(text, LOCKED_OUT_HINT))
