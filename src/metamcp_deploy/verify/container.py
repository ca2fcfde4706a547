"""An app's process as the platform starts it: release files only, a scratch folder, and nothing of the caller's."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from metamcp_deploy import process
from metamcp_deploy.container import environment, manifest, ports

OPERATOR = "verification@example.com"  # who asks, so that the launcher shows details


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
        environment.empty(self.scratch)
        self.port = ports.free()
        self.secret = secrets.token_urlsafe(32)  # by it the app knows who may call it
        self.url = f"http://{ports.HOST}:{self.port}"
        described = manifest.read(self.source)
        env = {
            **environment.base(self.scratch, node.parent),
            # Nobody is asked at that address; the launcher keeps to the loopback.
            **environment.platform("verification", self.port, "http://127.0.0.1:9"),
            "APP_URL": self.url,
            "METAMCP_OPERATORS": OPERATOR,
            **{e["name"]: e["value"] for e in described.env if "value" in e},
            **given,
            environment.PROXY_SECRET: self.secret,
        }
        words = [str(node) if word == "node" else word for word in described.command]
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
        return [pid for pid in process.marked(environment.HOME, str(self.scratch)) if pid != self.pid]

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kills whatever is there yet."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        process.kill(self.left())
