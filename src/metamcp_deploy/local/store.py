"""What the embedded workspace remembers: one JSON file, replaced whole, readable by its owner only."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from metamcp_deploy import atomic
from metamcp_deploy.errors import Code, DeployError

FORMAT = 1
NAME = "state.json"


def write(path: Path, data: Any) -> None:
    """Replaces a JSON file that only its owner can read."""
    atomic.write(path, json.dumps(data), 0o600, sync=False)


def read(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None when there is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return data if isinstance(data, dict) else None


class Store:
    """The resources of one workspace, by family; whoever changes `data` calls `save`.

    Attributes:
        folder: where everything of this workspace is.
        data: `identity`, `ports`, `apps`, `scopes`, `projects`, `notebooks`.

    Raises:
        DeployError: LOCAL_FAILED, when there is a state that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self._saving = threading.Lock()  # of two threads, the later writes what both changed
        self.data: dict[str, Any] = self._load() if self.path.exists() else {"format": FORMAT}

    def _load(self) -> dict[str, Any]:
        """What is there. A file that cannot be read must not be taken for a new workspace and overwritten."""
        try:
            found: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            problem = None if found["format"] == FORMAT else f"it has format {found['format']}, not {FORMAT}"
        except (ValueError, KeyError, TypeError) as e:
            problem = f"{type(e).__name__}: {e}"
        if problem:
            raise DeployError(
                Code.LOCAL_FAILED,
                f"The state of the embedded workspace, {self.path}, cannot be read: {problem}.",
                hint="Put back the file, or give up the state: metamcp-deploy local reset",
            )
        return found

    def family(self, name: str) -> dict[str, Any]:
        """The resources of one family, by name; made when missing."""
        family: dict[str, Any] = self.data.setdefault(name, {})
        return family

    def save(self) -> None:
        """Makes the present state survive a kill -9."""
        with self._saving:
            write(self.path, self.data)
