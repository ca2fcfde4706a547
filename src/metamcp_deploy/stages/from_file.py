"""The stage `build` where the bundle comes out of a file that `build --archive` wrote: nothing before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from metamcp_deploy.pipeline import Flag, Step

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project
    from metamcp_deploy.release.artifact_content import Held

NAME, REMOTE = "build", False


@dataclass(frozen=True)
class Wishes:
    """What a run asks of this stage beyond the settings.

    Attributes:
        source: the file; without one the bundle is built.
        sha256: what the file's digest has to be.
        id: what the release's id has to be.
    """

    source: Annotated[
        Path | None, Flag(("--from",), "Take the bundle from such a file; build nothing.", metavar="FILE")
    ] = None
    sha256: Annotated[
        str | None,
        Flag(("--sha256",), "With --from: the digest that the file has to have.", metavar="DIGEST"),
    ] = None
    id: Annotated[
        str | None, Flag(("--id",), "With --from: the release that it has to hold.", metavar="ID")
    ] = None

    @property
    def held(self) -> Held:
        """What the file is held against."""
        from metamcp_deploy.release.artifact_content import Held

        return Held(self.sha256, self.id)


def step(project: Project, wishes: Wishes) -> Step:
    """The stage for this project.

    Raises:
        DeployError: FILE_ACCESS, when the file cannot be read.
    """
    from metamcp_deploy.release import artifact

    assert wishes.source is not None  # noqa: S101 -- `deploy.pipeline` chooses this stage for a file
    return artifact.step(project, wishes.source, wishes.held)
