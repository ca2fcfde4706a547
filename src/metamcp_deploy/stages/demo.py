"""What `demo` deploys, and what to try when it runs."""

from __future__ import annotations

import shlex
from pathlib import Path

from metamcp_deploy import resources
from metamcp_deploy.stages.sample import TAG, sample_repository

TARGET = "local"


def flags() -> dict[str, str]:
    """The settings of a demo, as command line options would give them: the sample upstream at its tag.

    Raises:
        DeployError: TOOL_MISSING without git.
    """
    return {"upstream.url": str(sample_repository(resources.cache_folder())), "upstream.ref": TAG}


def next_steps(url: str, folder: Path | None = None) -> list[str]:
    """Commands to try after a demo, each to be typed as it is.

    Args:
        url: the app's URL.
        folder: where the demo ran, when that is not the current folder.
    """
    at = f" -C {shlex.quote(str(folder))}" if folder else ""
    bearer = f'-H "Authorization: Bearer $(metamcp-deploy token -t {TARGET}{at})"'
    return [
        f"metamcp-deploy health -t {TARGET}{at}",
        f"metamcp-deploy logs -t {TARGET}{at} -f",
        f"curl {bearer} {url}/metamcp",
        f"metamcp-deploy local status{at}",
        f"metamcp-deploy local down{at}",
    ]
