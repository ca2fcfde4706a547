"""A release with source maps: its services' stack traces name upstream's files and lines; without, nothing of it."""

from __future__ import annotations

import json
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from metamcp_deploy import pipeline
from metamcp_deploy.config.model import Build
from metamcp_deploy.config.project import Project
from metamcp_deploy.release import archive
from metamcp_deploy.release.build import node, sourcemaps
from metamcp_deploy.stages import build
from metamcp_deploy.verify import throwaway
from metamcp_deploy.verify.container import Container

Write = Callable[[Path, dict[str, str | bytes]], Path]
PAGE = "apps/frontend/app/[locale]/login/broken/page.tsx"
BROKEN = """\
export const dynamic = "force-dynamic";

type Asked = { searchParams: Promise<{ why?: string }> };

async function explain({ searchParams }: Asked): Promise<string> {
  const { why = "nobody knows" } = await searchParams;
  throw new Error(`broken on purpose: ${why}`);
}

export default async function Broken(asked: Asked) {
  return <p>{await explain(asked)}</p>;
}
"""


@pytest.fixture(scope="module")
def mapped(built_sample: Project, tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Project:
    """The sample with source maps, and a page that fails on the server."""
    settings = built_sample.settings.model_copy(update={"build": Build(source_maps=True)})
    made = replace(built_sample, folder=tmp_path_factory.mktemp("mapped"), settings=settings)
    shutil.copytree(built_sample.state, made.state, ignore=shutil.ignore_patterns("build.json"))
    shutil.copytree(built_sample.patched, made.patched, symlinks=True)
    (made.patched / PAGE).parent.mkdir()
    (made.patched / PAGE).write_text(BROKEN)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("METAMCP_CACHE_DIR", str(shared_cache))
        pipeline.execute(build.step(made, build.Wishes(verify=False)), made.state)  # a test starts it
    return made


def files(project: Project, part: str) -> dict[str, bytes]:
    with tarfile.open(project.bundle / f"app/{part}.tar.gz") as tar:
        members = ((m.name, tar.extractfile(m)) for m in tar)
        return {name: file.read() for name, file in members if file is not None}


def release(project: Project) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.bundle / "app/release.json").read_text())
    return found


def test_only_where_they_are_asked_for(built_sample: Project, mapped: Project) -> None:
    plain, told = files(built_sample, "backend"), files(mapped, "backend")
    assert told.keys() - plain.keys() == {"index.mjs.map"}
    assert told["index.mjs"] == plain["index.mjs"] + b"//# sourceMappingURL=index.mjs.map\n"
    assert files(mapped, "migrations") == files(built_sample, "migrations")
    assert not [name for name in files(built_sample, "frontend") if name.endswith(".map")]
    assert (release(built_sample)["source_maps"], release(mapped)["source_maps"]) == (False, True)
    assert release(built_sample)["id"] != release(mapped)["id"]


def test_each_compiled_page_has_one_and_browsers_get_none(mapped: Project) -> None:
    found = files(mapped, "frontend")
    maps = {name for name in found if name.endswith(".map")}
    assert maps
    assert all(name.startswith("apps/frontend/.next/server/") for name in maps)
    pages = {
        name
        for name in found
        if name.startswith("apps/frontend/.next/server/app/") and name.endswith("page.js")
    }
    assert {f"{page}.map" for page in pages} <= maps
    assert f"apps/frontend/.next/server/{PAGE.removeprefix('apps/frontend/').replace('.tsx', '.js')}" in pages


def test_maps_name_files_and_hold_none(mapped: Project) -> None:
    backend, frontend = files(mapped, "backend"), files(mapped, "frontend")
    maps = [content for name, content in (backend | frontend).items() if name.endswith(".map")]
    named = [source for content in maps for source in json.loads(content)["sources"]]
    assert "/metamcp/apps/backend/src/routers/trpc.ts" in named
    assert any(f"../{PAGE.removeprefix('apps/frontend/')}" in source for source in named)
    assert not [content for content in maps if b"sourcesContent" in content or b"/build/work/" in content]
    sent = list((mapped.bundle / "app").iterdir())
    assert len(sent) <= 12
    assert max(path.stat().st_size for path in sent) <= archive.LIMIT


@pytest.fixture
def running(mapped: Project, tmp_path: Path) -> Iterator[Container]:
    """The release in its container, up."""
    given = {"BETTER_AUTH_SECRET": "of-a-test-of-32-characters-and-more", "METAMCP_SIGN_UP": "open"}
    runner = node.of_extra() or node.find()
    with (
        throwaway.database() as variables,
        Container(mapped.bundle / "app", tmp_path / "app", runner.program, {**given, **variables}) as app,
    ):
        deadline = time.monotonic() + 120
        while "MetaMCP is up" not in app.log.read_text():
            assert app.running, app.last_lines()
            assert time.monotonic() < deadline, app.last_lines()
            time.sleep(0.05)
        yield app


def test_stack_traces_name_upstreams_files(running: Container, mapped: Project) -> None:
    session = requests.Session()
    session.trust_env = False
    session.headers["Origin"] = running.url
    account = {"email": "person@example.com", "password": "correct horse battery", "name": "Person"}
    assert session.post(f"{running.url}/api/auth/sign-up/email", json=account).status_code == 200
    wrong = session.post(f"{running.url}/trpc/frontend.namespaces.create", json={"nothing": "fits"})
    assert wrong.status_code == 400
    assert session.get(f"{running.url}/en/login/broken?why=a+test").status_code == 500
    log = running.log.read_text()
    source = (mapped.patched / "apps/backend/src/routers/trpc.ts").read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(source) if "CreateNamespaceSchema.parse(" in text)
    assert f"(/metamcp/apps/backend/src/routers/trpc.ts:{line}:" in log
    assert "broken on purpose: a test" in log
    line = 1 + BROKEN.splitlines().index("  throw new Error(`broken on purpose: ${why}`);")
    assert f"at explain ({PAGE.removeprefix('apps/frontend/')}:{line}:" in log
    assert "index.mjs:" not in log


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("webpack://frontend/./app/[locale]/page.tsx", "../../../app/[locale]/page.tsx"),
        ("webpack://frontend/./app/page.tsx?1f3a", "../../../app/page.tsx"),
        ("webpack://_N_E/../../packages/x/index.ts", "../../../../../packages/x/index.ts"),
        ("webpack://frontend/_N_E/./app/page.tsx/__proxy.mjs", "../../../app/page.tsx/__proxy.mjs"),
        ("webpack://frontend/../../../src/icons/x.ts", "../../../../../src/icons/x.ts"),
        ("webpack://frontend/?12e6", "../../.."),
        ("webpack://frontend/", "../../.."),
        ("webpack://frontend/webpack/bootstrap", "webpack://frontend/webpack/bootstrap"),
        ('webpack://frontend/external commonjs "path"', 'webpack://frontend/external commonjs "path"'),
    ],
)
def test_names_by_webpack(source: str, named: str) -> None:
    told = json.dumps(
        {"version": 3, "sources": [source], "sourcesContent": ["text"], "mappings": ""}
    ).encode()
    at = "apps/frontend/.next/server/app/page.js"
    entries = [archive.Entry(f"{at}.map", told), archive.Entry(at, b"not json")]
    changed, other = sourcemaps.of_pages(entries, "apps/frontend")
    assert json.loads(changed.content) == {"version": 3, "sources": [named], "mappings": ""}
    assert other == entries[1]


def test_names_by_esbuild(tmp_path: Path) -> None:
    (tmp_path / "real/tree").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    sources = ["../tree/apps/backend/src/index.ts", "../../elsewhere/x.ts", "../../real/tree/a.ts"]
    told = json.dumps({"sources": sources, "sourcesContent": None}).encode()
    made = sourcemaps.of_program(told, tmp_path / "link/out", tmp_path / "link/tree")
    wanted = ["/metamcp/apps/backend/src/index.ts", "/metamcp/x.ts", "/metamcp/a.ts"]
    assert json.loads(made)["sources"] == wanted
