"""Command lines of the tool, run in this process: what a process of its own prints, without its start.

Importing the tool takes a process about a second. Tests that ask about a process itself (signals, a terminal, a closed
pipe, the environment that it hands on) start one; all others use `run`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from metamcp_deploy import cli
from metamcp_deploy.cli import boundary, options
from metamcp_deploy.config.project import Project


def run(
    *words: str | Path, folder: Path, given: str = "", env: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Runs `metamcp-deploy WORDS` in a folder, with `given` on stdin and, where named, this environment.

    Returns its exit code and output. There is no terminal. What the command leaves in the environment is undone.
    """
    argv = [str(word) for word in words]
    out, err = io.StringIO(), io.StringIO()

    def command() -> object:
        return cli.app(argv, prog_name="metamcp-deploy", standalone_mode=False)

    shown = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with _ordinary(given, env), contextlib.chdir(folder), shown[0], shown[1]:
        code = boundary.guarded(command, argv)
    return CompletedProcess(argv, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _ordinary(given: str, env: Mapping[str, str] | None) -> Iterator[None]:
    kept = dict(os.environ)
    if env is not None:
        _environment(env)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(options, "current", options.Run())
        patched.setattr(sys, "stdin", io.StringIO(given))
        try:
            yield
        finally:
            _environment(kept)


def _environment(wanted: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(wanted)


def write_target(project: Project, more: str = "") -> None:
    """Writes a metamcp.yaml in the project's folder, with one embedded target for its app; `more` are further keys."""
    app = f"{{name: {project.settings.app.name}{more}}}"
    text = f"version: 1\ntargets:\n  local:\n    embedded: true\n    app: {app}\n"
    (project.folder / "metamcp.yaml").write_text(text)
