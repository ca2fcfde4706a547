"""A tiny release, a fake of the workspace's calls, and the launcher as a running program."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from metamcp_deploy.knowledge import for_launcher
from metamcp_deploy.resources import PACKAGE

LAUNCHER = PACKAGE / "launcher"
CLIENT_SECRET = "client-secret-marked-1f0c"
AUTH_SECRET = "auth-secret-marked-77aa"
OIDC_SECRET = "oidc-secret-marked-93bd"
EMBEDDED: dict[str, str | None] = {
    "METAMCP_PROXY_SECRET": "proxy-secret-marked-4c2e"
}  # without it, no word of a local caller counts
# As release/build/routes.py makes them of the real upstream's manifests, and some more.
ROUTES = [
    {"unslash": r"^(?:\/((?:[^\/]+?)(?:\/(?:[^\/]+?))*))\/$"},
    {
        "front": r"^(?:\/((?!_next|api\/|trpc|mcp-proxy|metamcp|service|health|.*\..*).*))(\.json)?[\/#\?]?$",
        "flags": "",
    },
    {"front": r"^/api/mark\.svg$", "flags": ""},
    {"prefix": "/health", "to": "/health", "exact": True},
    {"prefix": "/api", "to": "/api", "exact": False},
    {"prefix": "/trpc", "to": "/trpc/frontend", "exact": False},
    {"prefix": "/mcp-proxy", "to": "/mcp-proxy", "exact": False},
    {"prefix": "/metamcp", "to": "/metamcp", "exact": False},
    {"prefix": "/register", "to": "/api/auth/register", "exact": True},
    {"prefix": "/service", "exact": False, "closed": "service.example.com"},
    {"handler": "^/en/form$", "flags": "i"},
]


def archive(files: dict[str, str | bytes]) -> bytes:
    """A tar.gz of files by name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def write_release(folder: Path, *, backend: str, frontend: str, migrate: str) -> Path:
    """Lays out what the platform would have in the app's source folder."""
    shutil.copytree(LAUNCHER, folder, dirs_exist_ok=True)
    write_diagnoses(folder)
    parts = {
        "backend": (
            "index.mjs",
            {
                "index.mjs": backend,
                "preload.mjs": 'import "./launcher/preload/preload.mjs";\n',
                **_launcher(),
            },
        ),
        "frontend": ("apps/frontend/server.js", {"apps/frontend/server.js": frontend}),
        "migrations": ("migrate.mjs", {"migrate.mjs": migrate}),
    }
    described = {}
    for name, (entry, files) in parts.items():
        data = archive(dict(files))
        (folder / f"{name}.tar.gz").write_bytes(data)
        described[name] = {
            "file": f"{name}.tar.gz",
            "entry": entry,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
        }
    release = {"format": 2, "id": "0" * 16, "schema": "metamcp_app", "routes": ROUTES, "parts": described}
    (folder / "release.json").write_text(json.dumps(release))
    return folder


def write_diagnoses(folder: Path) -> Path:
    """The module with what is known of failures in it, as the bundler puts it there."""
    text = (LAUNCHER / "diagnoses.mjs").read_text()
    written = folder / "diagnoses.mjs"
    written.write_text(text.replace("KNOWN_FAILURES", json.dumps(for_launcher())))
    return written


def _launcher() -> dict[str, str]:
    """The launcher's modules, for a preload that is not bundled into one file."""
    modules = LAUNCHER.rglob("*.mjs")
    return {f"launcher/{path.relative_to(LAUNCHER).as_posix()}": path.read_text() for path in modules}


class FakeWorkspace:
    """Answers the launcher's calls. `answers` overrides one by path: (status, body) for the next requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        self.breaks_off: set[str] = set()
        self.silent = 0.0  # seconds before an answer
        self.ttl = 3600.0
        self.issued: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer("")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["content-length"] or 0)).decode())

            def _answer(self, body: str) -> None:
                fake.requests.append((self.command, self.path, dict(self.headers), body))
                if self.path in fake.breaks_off:
                    self.connection.close()
                    return
                time.sleep(fake.silent)
                status, value = fake.answers.get(self.path) or (200, fake.usual(self.path))
                data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def usual(self, path: str) -> Any:
        if path == "/oidc/v1/token":
            return {"access_token": "workspace-token-marked", "expires_in": 3600}
        if path.endswith("/credentials"):
            self.issued.append(f"db-credential-marked-{len(self.issued)}")
            ends = datetime.now(UTC) + timedelta(seconds=self.ttl)
            # The SDK's two credential types name it differently.
            name = "expire_time" if "/postgres/" in path else "expiration_time"
            return {"token": self.issued[-1], name: ends.isoformat().replace("+00:00", "Z")}
        if path == "/api/2.0/apps/tiny":
            return {"name": "tiny", "url": "https://tiny.example.com"}
        return {}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class App:
    """A launcher that runs."""

    def __init__(self, node: Path, folder: Path, scratch: Path, env: dict[str, str]) -> None:
        self.port = int(env["DATABRICKS_APP_PORT"])
        secret = env.get("METAMCP_PROXY_SECRET")
        self.proxy = (
            {"X-Metamcp-Proxy-Secret": secret} if secret else {}
        )  # what the proxy adds to each request
        self.url = f"http://127.0.0.1:{self.port}"
        self.scratch = scratch
        self._out = scratch.parent / f"{scratch.name}.log"
        with self._out.open("wb") as sink:
            self.process = subprocess.Popen(
                [node, "start.mjs"], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )

    @property
    def log(self) -> str:
        return self._out.read_text()

    def get(self, path: str, **options: Any) -> requests.Response:
        session = requests.Session()
        session.trust_env = False
        options["headers"] = self.proxy | dict(options.get("headers") or {})
        return session.get(self.url + path, timeout=120, allow_redirects=False, **options)

    def until(self, holds: Callable[[], Any], seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if found := holds():
                    return found
            except (requests.ConnectionError, ValueError):
                pass
            assert self.process.poll() is None, self.log
            time.sleep(0.02)
        raise AssertionError(f"did not come true within {seconds} s:\n{self.log}")

    def up(self) -> App:
        self.until(lambda: self.get("/health").status_code == 200)
        return self

    def away(self, status: str = "failed") -> requests.Response:
        """The launcher's own 503 once it has the given status."""
        return self.away_at("/", status)

    def away_at(self, path: str, status: str = "failed") -> requests.Response:
        answer: requests.Response = self.until(
            lambda: (r := self.get(path)).status_code == 503 and r.json()["status"] == status and [r]
        )[0]
        return answer

    def logged(self, text: str) -> None:
        self.until(lambda: text in self.log)

    def stop(self, signum: int = signal.SIGTERM) -> float:
        """Seconds until it ended."""
        began = time.monotonic()
        self.process.send_signal(signum)
        self.process.wait(15)
        return time.monotonic() - began


def behind_proxy(launch: Callable[..., App]) -> Callable[..., App]:
    """Starts apps that know their proxy, and so believe what is said of the caller."""

    def start(*, env: dict[str, str | None] | None = None, **options: Any) -> App:
        return launch(env=EMBEDDED | (env or {}), **options)

    return start


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
