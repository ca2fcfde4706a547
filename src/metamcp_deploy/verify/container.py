"""An app's process as the platform starts it: release files only, a scratch folder, and nothing of the caller's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from metamcp_deploy import process

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MARK = "HOME"  # which the launcher hands on to everything it starts
OPERATOR = "verification@example.com"  # who asks, so that the launcher tells what failed


class Container:
    """A copy of a release in a folder of its own, and its process.

    Args:
        app: the release's files, app.yaml among them.
        folder: empty; `source`, `scratch` and `app.log` appear in it.
        node: the program that `node` in app.yaml's command stands for.
        given: variables that the platform and the deploy call would set.
    """

    def __init__(self, app: Path, folder: Path, node: Path, given: Mapping[str, str]) -> None:
        self.source, self.log = folder / "source", folder / "app.log"
        shutil.copytree(app, self.source)
        self.scratch = folder / "scratch"
        (self.scratch / "tmp").mkdir(parents=True)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        manifest = _manifest(self.source)
        path = os.pathsep.join([str(node.parent), _SYSTEM_PATH])
        env = {
            "PATH": path,
            _MARK: str(self.scratch),
            "TMPDIR": str(self.scratch / "tmp"),
            "LANG": "C.UTF-8",
            "DATABRICKS_APP_NAME": "verification",
            "DATABRICKS_APP_PORT": str(self.port),
            "DATABRICKS_HOST": "http://127.0.0.1:9",  # nobody is asked there; the launcher keeps to the loopback
            "APP_URL": self.url,
            "METAMCP_OPERATORS": OPERATOR,
            **{e["name"]: e["value"] for e in manifest.get("env") or [] if "value" in e},
            **given,
        }
        words = [str(node) if word == "node" else word for word in manifest["command"]]
        self.pid = process.detach(words, cwd=self.source, env=env, log=self.log)
        self.exit_code: int | None = None

    @property
    def running(self) -> bool:
        """Whether the process that app.yaml names lives."""
        if self.exit_code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is None

    def last_lines(self, count: int = 20) -> str:
        """The end of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def stop(self, seconds: float) -> float | None:
        """SIGTERM, as the platform ends an app. Gives the seconds it took, None if it is there yet after `seconds`."""
        began = time.monotonic()
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
        while self.running:
            if time.monotonic() - began > seconds:
                return None
            time.sleep(0.01)
        return time.monotonic() - began

    def left(self) -> list[int]:
        """Ids of programs that it started and that are still there."""
        return [pid for pid in process.marked(_MARK, str(self.scratch)) if pid != self.pid]

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kills whatever is there yet."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _manifest(source: Path) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.safe_load((source / "app.yaml").read_text())
    return found


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
