"""What `demo` deploys, and what to try afterwards."""

from __future__ import annotations

import shlex
from pathlib import Path

from metamcp_deploy import resources
from metamcp_deploy.upstream.sample import TAG, sample_repository

TARGET = "local"


def flags() -> dict[str, str]:
    """The settings of a demo, as command line options would give them: the sample upstream at its tag.

    Raises:
        DeployError: TOOL_MISSING without git.
    """
    return {"upstream.url": str(sample_repository(resources.cache_folder())), "upstream.ref": TAG}


def next_steps(url: str, folder: Path | None = None, program: str = "metamcp-deploy") -> list[str]:
    """Commands to try after a demo, each to be typed as it is.

    Args:
        url: the app's URL.
        folder: where the demo ran, when that is not the current folder.
        program: how the tool was called, when its name alone is not on PATH.
    """
    at = f" -C {shlex.quote(str(folder))}" if folder else ""
    tool = shlex.quote(program)
    bearer = f'-H "Authorization: Bearer $({tool} token -t {TARGET}{at})"'
    return [
        f"{tool} health -t {TARGET}{at}",
        f"{tool} logs -t {TARGET}{at} -f",
        f"curl {bearer} {url}/metamcp",
        f"{tool} local status{at}",
        f"{tool} local down{at}",
    ]
