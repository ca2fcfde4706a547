"""What a front end answers: every page and asset that its build made is asked for."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import requests

from metamcp_deploy.release.build import frontend

_SESSION = {
    "session": {"id": "1", "userId": "1", "expiresAt": "2099-01-01T00:00:00.000Z"},
    "user": {"id": "1", "email": "person@example.com", "name": "Person"},
}
_NEVER_MADE = ("/", "/nothing", "/en/nothing", "/_next/static/none.js", "/_next/data/none.json")


class _Backend(BaseHTTPRequestHandler):
    """Whoever asks is signed in: the pages behind the sign-in are rendered too."""

    def do_GET(self) -> None:
        body = json.dumps(_SESSION).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 (the name is the base class's)

    def log_message(self, *_: object) -> None:
        pass


def paths(tree: Path) -> list[str]:
    """Every file below .next/static and public, every route of Next's manifest, and some that are not there."""
    app = tree / frontend.APP
    found = [
        f"{prefix}/{quote(path.relative_to(folder).as_posix())}"
        for folder, prefix in ((app / ".next/static", "/_next/static"), (app / "public", ""))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    routes = json.loads((app / ".next/routes-manifest.json").read_text())
    found += [route["page"] for route in routes["staticRoutes"]]
    for route in routes["dynamicRoutes"]:
        for locale in ("en", "zh"):
            found.append(re.sub(r"\[[^/]+\]", "some-id", route["page"].replace("[locale]", locale)))
    images = [
        f"/_next/image?url={quote(p, safe='')}&w=64&q=75" for p in found if p.endswith((".svg", ".ico"))
    ]
    return [*found, *images[:2], *_NEVER_MADE]


def whole(tree: Path, to: Path) -> Path:
    """Next's standalone output laid out as its documentation says, nothing left out."""
    built = tree / frontend.APP / ".next"
    shutil.copytree(built / "standalone", to, symlinks=True)
    shutil.copytree(built / "static", to / frontend.APP / ".next/static")
    shutil.copytree(tree / frontend.APP / "public", to / frontend.APP / "public", dirs_exist_ok=True)
    return to


def statuses(program: Path, folder: Path, asked: Sequence[str]) -> dict[str, tuple[int, str]]:
    """`path` (pages also as `RSC path`, as Next's own links ask for them) → status and content type."""
    with _backend() as backend, server(program, folder, backend) as url, requests.Session() as session:
        session.trust_env = False
        session.headers["cookie"] = "better-auth.session_token=some"
        found = {}
        for path in asked:
            for mark, headers in (("", {}), ("RSC ", {"rsc": "1"})):
                if not mark or "." not in path:
                    answer = session.get(url + path, headers=headers, allow_redirects=False, timeout=120)
                    found[mark + path] = (answer.status_code, answer.headers.get("content-type", ""))
        return found


@contextmanager
def _backend() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Backend) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def server(program: Path, folder: Path, backend: int) -> Iterator[str]:
    """Next's own server of a release's front end or of a whole build; its address."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "HOSTNAME": "127.0.0.1",
        "APP_URL": "http://127.0.0.1",
        "NODE_ENV": "production",
        "METAMCP_BACKEND_PORT": str(backend),
    }
    log = folder / "server.log"
    with log.open("wb") as sink:
        running = subprocess.Popen(
            [program, folder / frontend.ENTRY], cwd=folder, env=env, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert running.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        assert running.poll() is None, log.read_text()
        assert "Cannot find module" not in log.read_text(), log.read_text()
    finally:
        running.terminate()
        running.wait(60)
