"""What the front end would hand to somebody outside, cookies and all, is closed by the launcher."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from metamcp_deploy.config.project import Project
from metamcp_deploy.release.build import frontend, node
from tests.build import serving
from tests.launcher import launcher_programs as programs
from tests.launcher.launcher_app import AUTH_SECRET, App, archive, free_port, write_release

MANIFEST = f"{frontend.APP}/.next/routes-manifest.json"


class Outside(ThreadingHTTPServer):
    """A server that is not the backend, on an address that is not that of this machine by name."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.asked.append((self.path, self.headers["cookie"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.2", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def outside() -> Iterator[Outside]:
    server = Outside()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def app(built_sample: Project, outside: Outside, tmp_path: Path) -> Iterator[App]:
    """The sample's front end behind the launcher; what it calls service.example.com is `outside`."""
    folder, scratch = tmp_path / "source", tmp_path / "scratch"
    for made in (folder, scratch):
        made.mkdir()
    write_release(folder, backend=programs.BACKEND, frontend="", migrate=programs.MIGRATE)
    with tarfile.open(built_sample.bundle / "app/frontend.tar.gz") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}  # type: ignore[union-attr]
    there = f"http://127.0.0.2:{outside.server_port}".encode()
    assert b"https://service.example.com" in files[MANIFEST]
    files[MANIFEST] = files[MANIFEST].replace(b"https://service.example.com", there)
    data = archive(dict(files))
    (folder / "frontend.tar.gz").write_bytes(data)
    about = json.loads((folder / "release.json").read_text())
    about["routes"] = json.loads((built_sample.bundle / "app/release.json").read_text())["routes"]
    about["parts"]["frontend"] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "release.json").write_text(json.dumps(about))
    env = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(scratch),
        "DATABRICKS_APP_PORT": str(free_port()),
        "DATABRICKS_HOST": "http://127.0.0.1:9",
        **{"PGHOST": "127.0.0.1", "PGDATABASE": "none", "PGUSER": "none", "PGPASSWORD": "none-at-all"},
        "APP_URL": "https://tiny.example.com",
        "BETTER_AUTH_SECRET": AUTH_SECRET,
    }
    running = App(node.find().program, folder, scratch, env)
    yield running.up()
    running.stop()


def test_nothing_of_a_caller_goes_outside(app: App, outside: Outside) -> None:
    noted = next(app.scratch.rglob(".next/BUILD_ID"))
    build = noted.read_text().strip()
    cookie = {"Cookie": "session=marked"}
    closed = ("/service", "/service/search?query=x", f"/_next/data/{build}/service/x.json")
    for path in (
        *closed,
        "/SERVICE/x",
        "/%73ervice/x",
        "/service%2Fx",
    ):
        answer = app.get(path, headers=cookie)
        assert (answer.status_code, answer.json()["code"]) == (404, "outside_closed"), path
        assert "a service outside" in answer.json()["message"]
    for path in (
        "/service/x/",
        "//service/x",
        "/service\\x",
    ):  # Next redirects such spellings to the one path
        answer = app.get(path, headers=cookie)
        assert (answer.status_code, answer.headers["location"]) == (308, "/service/x"), path
    assert app.get("/en/login", headers=cookie).status_code == 200
    assert "outside_closed" not in app.get("/services", headers=cookie).text
    assert outside.asked == []
    # Without the launcher they would have gone there.
    with serving.server(node.find().program, noted.parents[3], free_port()) as alone:
        for path in closed:
            requests.get(alone + path, headers=cookie, timeout=120, allow_redirects=False)
    assert {cookie for _, cookie in outside.asked} == {"session=marked"}
    assert [path for path, _ in outside.asked] == ["/", "/search?query=x", "/x"]
