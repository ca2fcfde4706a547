"""The release in the workspace: sent where it is missing, whole or invisible."""

from __future__ import annotations

from metamcp_deploy.converge.part import Context, Part
from metamcp_deploy.plan import OURS, Action, Change
from metamcp_deploy.release import sending


class ReleasePart(Part):
    """The files of a release; without one nothing is built yet, and a plan says so."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.release = context.release
        self.uploaded = sending.Uploaded()

    def look(self) -> None:
        """One request, where the release is whole or not there."""
        if self.release is not None:
            self.uploaded = sending.look(self.context.workspace, self.context.site.root, self.release)

    def changes(self) -> tuple[Change, ...]:
        """The release."""
        if self.release is None:
            return (Change(Action.UPLOAD, "release", "that is not built yet", OURS),)
        if self.uploaded.complete:
            return (Change(Action.KEEP, "release", self.release.id, OURS),)
        size = sum(self.release.sizes[name] for name in self.uploaded.missing) / 1e6
        what = f"{len(self.uploaded.missing)} of {len(self.release.files)} files, {size:.1f} MB"
        return (Change(Action.UPLOAD, "release", self.release.id, OURS, what),)

    def apply(self) -> None:
        """Sends what is missing, and the marker last."""
        if self.release is not None:
            sending.send(self.context.workspace, self.context.site.root, self.release, self.uploaded)
