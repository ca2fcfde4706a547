"""What git's failures mean: git has no codes, so its texts are looked up in `knowledge/git`."""

from __future__ import annotations

import re
from pathlib import Path

from metamcp_deploy import knowledge
from metamcp_deploy.errors import Code, DeployError

NOT_OFFERED = re.compile(
    r"not our ref|unadvertised object|couldn't find remote ref|not allow request|not support shallow"
)
"""The server does not hand out a commit by its id."""

BUSY = re.compile(r"returned error: (429|50[234])\b")
"""The host answers that it cannot answer now."""


def from_network(text: str, url: str) -> DeployError:
    """The error for a failed `ls-remote` or `fetch`."""
    return _error(text, state="fetch", url=url)


def empty(url: str) -> DeployError:
    """The error for an answer without a single branch or tag: git takes any web page for an empty repository."""
    return _error(state="empty", url=url)


def silent(url: str, seconds: float) -> DeployError:
    """The error for a network operation that received no byte for so long."""
    return _error(state="silent", url=url, seconds=f"{seconds:g}")


def on_this_machine(text: str, command: str, returncode: int) -> DeployError:
    """The error for a failed command that needs no network."""
    return _error(text, state="checkout", command=command, returncode=returncode)


def unreadable(folder: Path, error: Exception) -> DeployError:
    """The error for a repository that cannot be read, or a folder that is none."""
    return DeployError(
        Code.PROCESS_FAILED,
        f"The git repository {folder} cannot be read: {error or type(error).__name__}.",
        hint="Run it again with `--no-cache`.",
    )


def _error(text: str = "", *, state: str, **values: object) -> DeployError:
    known = knowledge.recognise("git", output=text, state=state)
    assert known, state  # noqa: S101 -- each state has an entry that fits any text
    return known.error_of("\n".join(text.splitlines()[-8:]) or None, values)
