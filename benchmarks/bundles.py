"""A built release of the real upstream for a benchmark, and its two services without a launcher."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

from benchmarks.upstream import environment, tool
from metamcp_deploy.container.environment import PROXY_HEADER
from metamcp_deploy.local.apps.deployment import node_folder
from metamcp_deploy.verify.container import Container

SECRET = "benchmark-secret-of-thirty-two-bytes"
PATHS = ("/metamcp/health", "/metamcp", "/")
_BUILT_IN = "127.0.0.1:12009"  # where the built front end expects the backend


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser with --project, described by the script's docstring."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--project", type=Path, help="a folder that is built; it is only read")
    return parser


def bundle(project: Path | None, scratch: Path) -> Path:
    """`build/bundle` of a project, which is built first when none is named (some minutes)."""
    if project is not None:
        return project.absolute() / "build" / "bundle"
    work = scratch / "work"
    work.mkdir()
    for stage in ("prepare", "patch", "build"):
        tool(stage, "-t", "local", cwd=work, env=environment(scratch))
    return work / "build" / "bundle"


def proxied(container: Container) -> dict[str, str]:
    """What its proxy adds to each request: without it the launcher answers nobody."""
    return {PROXY_HEADER: container.secret}


def node() -> Path:
    """The platform's Node, of the extra `local`."""
    folder = node_folder()
    if folder is None:
        sys.exit("the extra `local` is not installed")
    return folder / "node"


def answering(url: str, within: float = 60, headers: Mapping[str, str] | None = None) -> None:
    """Waits until all URLs answer well."""
    session = requests.Session()
    session.trust_env = False
    session.headers.update(headers or {})
    ends = time.monotonic() + within
    for path in PATHS:
        while not _well(session, url + path):
            if time.monotonic() > ends:
                sys.exit(f"{url}{path} did not answer within {within:g} s")
            time.sleep(0.02)  # seldom enough that answering 503 costs the start nothing


def _well(session: requests.Session, url: str) -> bool:
    try:
        return session.get(url, timeout=10).status_code == 200
    except requests.RequestException:
        return False


class Bare:
    """Both services from a release's own archives, as somebody would start them by hand.

    Unpacked here, before anything is measured. The address that Next proxies to was fixed when it was built; it is
    replaced in the unpacked files, so that no fixed port is needed.
    """

    def __init__(self, app: Path, folder: Path, variables: dict[str, str]) -> None:
        self.backend_port, port = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{port}"
        for part in ("backend", "frontend"):
            with tarfile.open(app / f"{part}.tar.gz") as archive:
                archive.extractall(folder / part, filter="data")
        server = folder / "frontend" / "apps" / "frontend"
        for path in (*server.glob(".next/*.json"), *server.glob(".next/server/*.js"), server / "server.js"):
            text = path.read_text()
            if _BUILT_IN in text:
                path.write_text(text.replace(_BUILT_IN, f"127.0.0.1:{self.backend_port}"))
        programs = [folder / "backend" / "index.mjs", server / "server.js"]
        self._argv = [node(), Path(__file__).with_name("bare.mjs"), *programs]
        self._env = {
            "PATH": os.environ["PATH"],
            "NODE_ENV": "production",
            "APP_URL": self.url,
            "BETTER_AUTH_SECRET": SECRET,
            "METAMCP_BACKEND_PORT": str(self.backend_port),
            "PORT": str(port),
            "HOSTNAME": "127.0.0.1",
            "TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL": "false",
            **variables,
        }

    @contextmanager
    def running(self) -> Iterator[float]:
        """Started, and all URLs answer; gives the seconds that took."""
        began = time.perf_counter()
        parent = subprocess.Popen(
            self._argv, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            answering(self.url)
            yield time.perf_counter() - began
        finally:
            parent.send_signal(signal.SIGTERM)
            parent.wait()


def launched(app: Path, scratch: Path, variables: dict[str, str]) -> float:
    """Seconds from the launcher's start, from a copy of the release, until all URLs answer.

    Its files stay in `scratch`: ext4 passes over the inodes of files deleted within the last minutes, one by one, for
    each file that it creates near them (up to 1 ms a file), so that each run would make the next one slower.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    with Container(app, folder, node(), {"BETTER_AUTH_SECRET": SECRET, **variables}) as container:
        began = time.perf_counter()  # it copied the release, and started the process last
        answering(container.url, headers=proxied(container))
        seconds = time.perf_counter() - began
        container.stop(10)
    return seconds


def by_hand(bare: Bare) -> float:
    """Seconds from the start of both services until all URLs answer."""
    with bare.running() as seconds:
        return seconds


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
