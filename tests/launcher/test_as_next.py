"""The launcher and Next's own server give the same answers, but for a list of intended differences (docs/launcher.md).

Both have the same front end, that of a built release, and the same backend, which says what reached it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.model import Settings, Upstream
from metamcp_deploy.config.project import Project
from metamcp_deploy.release.build import frontend
from tests.build import serving
from tests.conftest import building
from tests.launcher import launcher_programs as programs
from tests.launcher.asking import ask
from tests.launcher.launcher_app import App, free_port

# Where the build's rewrites lead: the backend's own port, and hosts outside, which no test may reach.
LEADS_TO = re.compile(r"https?://(127\.0\.0\.1:12009|[a-z.-]+\.(com|dev))(?=/)")
HEALTH = "/health"  # which says nothing of the request
Seen = tuple[int, str]


@pytest.fixture(scope="module", params=["sample", "v2.4.22"])
def release(request: pytest.FixtureRequest, session_folder: Path, shared_cache: Path) -> Path:
    """The files of a built release."""
    if request.param == "sample":
        sample: Project = request.getfixturevalue("built_sample")
        return sample.bundle / "app"
    from metamcp_deploy.stages import build, patch, prepare

    upstream = Upstream(url=str(request.getfixturevalue("test_upstream")), ref=request.param)
    settings = Settings(target="dev", upstream=upstream)
    home, folder = session_folder / "upstream-home", session_folder / "upstream"
    for made in (home, folder):
        made.mkdir(exist_ok=True)
    project = Project(folder=folder, settings=settings, all_targets=(settings,))
    with building(home, shared_cache):
        for stage in (
            prepare.step(project),
            patch.step(project),
            build.step(project, build.Wishes(verify=False)),
        ):
            pipeline.execute(stage, project.state)
    return project.bundle / "app"


@pytest.fixture(scope="module")
def front_end(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    with tarfile.open(release / "frontend.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    return folder


@contextmanager
def alone(node: Path, folder: Path) -> Iterator[int]:
    """Next's own server, whose rewrites lead to a backend of its own."""
    port = free_port()
    manifest = folder / frontend.APP / ".next/routes-manifest.json"
    manifest.write_text(LEADS_TO.sub(f"http://127.0.0.1:{port}", manifest.read_text()))
    backend = subprocess.Popen(
        [node, "--input-type=module", "-e", programs.BACKEND],
        env={"METAMCP_BACKEND_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with serving.server(node, folder, port) as url:
            yield urlsplit(url).port or 0
    finally:
        backend.kill()
        backend.wait()


def like(release: Path) -> Callable[[Path], None]:
    """Gives a launcher's folder the release's front end and routes."""

    def prepare(folder: Path) -> None:
        about, own = (json.loads((place / "release.json").read_text()) for place in (release, folder))
        shutil.copy(release / "frontend.tar.gz", folder)
        own |= {"routes": about["routes"], "parts": own["parts"] | {"frontend": about["parts"]["frontend"]}}
        (folder / "release.json").write_text(json.dumps(own))

    return prepare


def asked(folder: Path, routes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Method and path of all that is compared."""
    known = serving.paths(folder)
    static = [path for path in known if path.startswith("/_next/static/")]
    prefixes = [route["prefix"] for route in routes if "prefix" in route]
    below = ("", "/", "/x", "/x/", "/x.y", "x", "/a%2Fb", "?a=1", "/x/?a=%2F", "//x", "/x//y")
    spelled = [
        f"{spelling}{end}" for prefix in prefixes for spelling in (prefix, prefix.upper()) for end in below
    ]
    others = [
        "/en/register",
        "/en/login/",
        "/zh",
        "/EN",
        "/%65n",
        "/en%2Flogin",
        "/\\x",
        "/nothing.txt",
        "/.env",
    ]
    paths = [*(path for path in known if path not in static), *spelled, *others]
    return [
        *(("GET", path) for path in static),
        *((method, path) for path in paths for method in ("GET", "HEAD", "POST", "OPTIONS")),
    ]


def seen(port: int, method: str, path: str) -> Seen:
    """Status, and what tells more: where a redirect leads, what reached the backend."""
    session = {"cookie": "better-auth.session_token=some", "accept-language": "en"}
    answer = ask(port, method, path, "{}" if method == "POST" else None, session)
    if location := answer.headers.get("location"):
        return answer.status, urlsplit(location)._replace(scheme="", netloc="").geturl()
    if answer.text.startswith('{"service"'):
        return answer.status, answer.json()["url"]
    return answer.status, HEALTH if answer.text == '{"status":"ok"}' else ""


def intended(method: str, path: str, by_next: Seen, routes: list[dict[str, Any]]) -> Seen | None:
    """What the launcher answers in place of Next; None where it must answer the same."""
    if by_next[0] == 308:
        return None
    plain = path.lower().partition("?")[0]
    closed = [route["prefix"] for route in routes if "closed" in route]
    if any(plain == prefix or plain.startswith(f"{prefix}/") for prefix in closed):
        return 404, ""
    if method not in ("GET", "HEAD") and not by_next[1].lower().startswith(reached(routes)):
        return 405, ""
    return None


def reached(routes: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(route["to"] for route in routes if "to" in route)


def test_every_path_is_answered_as_next_itself_does(
    release: Path, front_end: Path, node: Path, launch: Callable[..., App]
) -> None:
    routes = json.loads((release / "release.json").read_text())["routes"]
    with alone(node, front_end) as port:
        theirs = {one: seen(port, *one) for one in asked(front_end, routes)}
    app = launch(prepare=like(release)).up()
    ours = {one: seen(app.port, *one) for one in theirs}
    expected = {one: intended(*one, by_next, routes) or by_next for one, by_next in theirs.items()}
    differ = {one: (ours[one], expected[one]) for one in ours if ours[one] != expected[one]}
    lines = (f"{' '.join(one)}: {ours} in place of {wanted}" for one, (ours, wanted) in differ.items())
    assert not differ, "\n".join(lines)
    assert theirs["GET", "/register"] == (307, "/en/register")
    assert ours["GET", "/en/register"][0] == 200
    assert ours["POST", "/trpc/x"] == (200, "/trpc/frontend/x")
