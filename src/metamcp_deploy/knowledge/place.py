"""Which deployment the commands of a fix are about."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metamcp_deploy.config.project import Project


class _Values(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return name.upper()


@dataclass(frozen=True)
class Place:
    """A target of metamcp.yaml, or an app and a profile without one; empty: the default target of a folder."""

    target: str | None = None
    app: str | None = None
    profile: str | None = None
    host: str | None = None

    @classmethod
    def of(cls, project: Project) -> Place:
        """Where a project's commands go."""
        settings = project.settings
        target = None if project.bare else settings.target
        profile = settings.workspace.profile or ""  # the environment may hold the login, and does so again
        return cls(target, settings.app.name, profile, settings.workspace.host)

    @property
    def on_target(self) -> str:
        """Options of a command that needs metamcp.yaml."""
        if self.target is None:
            return "-t TARGET" if self.app else ""
        return f"-t {self.target}"

    @property
    def on_app(self) -> str:
        """Options of a command that also works without metamcp.yaml."""
        if self.target is None and self.app:
            profile = "PROFILE" if self.profile is None else shlex.quote(self.profile) if self.profile else ""
            return f"--app {self.app}" + (f" -p {profile}" if profile else "")
        return self.on_target

    def values(self, more: Mapping[str, object]) -> Mapping[str, object]:
        """For templates: `on_target`, `on_app`, and what else is known; the rest as its name in capitals."""
        known = {k: v for k, v in (("host", self.host), ("profile", self.profile)) if v}
        options = {"on_target": self.on_target, "on_app": self.on_app}
        return _Values(known | {k: v and f" {v}" for k, v in options.items()} | dict(more))


DEFAULT = Place()
NOTHING: Mapping[str, object] = MappingProxyType({})
