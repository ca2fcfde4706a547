"""What every app gets in its container: the system's variables, the platform's, and an empty disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Other users of this machine can call the port of an app that runs here: its proxy proves itself by a secret.
PROXY_SECRET, PROXY_HEADER = "METAMCP_PROXY_SECRET", "X-Metamcp-Proxy-Secret"
HOME = "HOME"  # the scratch folder: what an app starts inherits it, and is recognised by it


def base(scratch: Path, node_folder: Path | None) -> dict[str, str]:
    """The system's variables, and nothing of whoever starts the app.

    Args:
        scratch: the app's disk (`empty` makes it).
        node_folder: holds the `node` of the platform's version; goes first on PATH.
    """
    # Python apps are started by the interpreter that the system finds, wherever it keeps its own.
    path = os.pathsep.join([*([str(node_folder)] if node_folder else []), _SYSTEM_PATH])
    return {"PATH": path, HOME: str(scratch), "TMPDIR": str(scratch / "tmp"), "LANG": "C.UTF-8"}


def platform(name: str, port: int, host: str) -> dict[str, str]:
    """The variables that name the app, its port, and its workspace's URL."""
    return {"DATABRICKS_APP_NAME": name, "DATABRICKS_APP_PORT": str(port), "DATABRICKS_HOST": host}


def empty(scratch: Path) -> None:
    """The disk of an app is empty at each start."""
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "tmp").mkdir(parents=True)
