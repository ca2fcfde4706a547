"""The stage `build` where the bundle comes out of a file that `build --archive` wrote: nothing before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from metamcp_deploy.pipeline import Flag, Step

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project

NAME, REMOTE = "build", False


@dataclass(frozen=True)
class Wishes:
    """What a run asks of this stage beyond the settings.

    Attributes:
        source: the file; without one the bundle is built.
    """

    source: Annotated[
        Path | None, Flag(("--from",), "Take the bundle from such a file; build nothing.", metavar="FILE")
    ] = None


def step(project: Project, wishes: Wishes) -> Step:
    """The stage for this project.

    Raises:
        DeployError: FILE_ACCESS, when the file cannot be read.
    """
    from metamcp_deploy.release import artifact

    assert wishes.source is not None  # noqa: S101 -- `deploy.pipeline` chooses this stage for a file
    return artifact.step(project, wishes.source)
