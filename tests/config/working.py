"""A folder with a metamcp.yaml, loaded with no environment but what the test names."""

from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import config
from metamcp_deploy.config.problems import ConfigurationError
from metamcp_deploy.config.project import Project

TARGETS = """\
version: 1
upstream: {ref: v2.4.22}
app: {name: metamcp}
targets:
  dev:
    app: {name: metamcp-dev}
    database: {project: metamcp-dev}
    workspace: {host: https://dev.example.com, profile: dev}
  prod:
    app: {name: metamcp-prod}
    database: {project: metamcp-prod, name: metamcp_prod}
    secrets: {scope: prod-secrets}
    workspace: {host: https://prod.example.com, root_path: /Workspace/Shared/metamcp}
default_target: dev
"""


class Work:
    """The folder; `load` never sees the process's own environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def yaml(self, text: str) -> "Work":
        (self.folder / "metamcp.yaml").write_text(text)
        return self

    def env(self, text: str) -> "Work":
        (self.folder / ".env").write_text(text)
        return self

    def load(self, target: str | None = None, environ: dict[str, str] | None = None, **more: Any) -> Project:
        return config.load(self.folder, target=target, environ=environ or {}, **more)

    def refused(
        self, target: str | None = None, environ: dict[str, str] | None = None, **more: Any
    ) -> ConfigurationError:
        """The error that loading gives."""
        with pytest.raises(ConfigurationError) as caught:
            self.load(target, environ, **more)
        return caught.value

    def problems(self, text: str) -> list[str]:
        """The problems of a metamcp.yaml, without the folder's path."""
        self.yaml(text)
        return [str(p).replace(f"{self.folder}/", "") for p in self.refused().problems]
