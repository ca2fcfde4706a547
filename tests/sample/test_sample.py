"""The sample upstream: what it must have of MetaMCP's shapes, and the repository made of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metamcp_deploy import pipeline, resources
from metamcp_deploy.config.model import Settings, Upstream
from metamcp_deploy.config.project import Project
from metamcp_deploy.stages import demo, prepare
from metamcp_deploy.upstream import sample

TREE = resources.PACKAGE / "sample"
MIGRATIONS = sorted((TREE / "apps/backend/drizzle").glob("*.sql"))
SQL = "\n".join(path.read_text() for path in MIGRATIONS)
SCHEMA = (TREE / "apps/backend/src/db/schema.ts").read_text()


def git(folder: Path, *words: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        ["git", *words], cwd=folder, env=env, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    "form",
    [
        r'CREATE TYPE "public"\."\w+" AS ENUM',
        r'CREATE TABLE "\w+" \(',
        r'CREATE TABLE "public"\."\w+" \(',
        r'ALTER TABLE "\w+" ADD CONSTRAINT "\w+" FOREIGN KEY .* REFERENCES "public"\."\w+"\(',
        r'ALTER TABLE "public"\."\w+" ADD CONSTRAINT',
        r'ALTER TABLE "\w+" ADD CONSTRAINT "\w+" UNIQUE',
        r'ALTER TABLE "\w+" ADD CONSTRAINT "\w+" CHECK',
        r'ALTER TABLE "\w+" DROP CONSTRAINT "\w+"',
        r'ALTER TABLE "\w+" DROP CONSTRAINT IF EXISTS "\w+"',
        r'ALTER TABLE "\w+" ALTER COLUMN "\w+" DROP NOT NULL',
        r'ALTER TABLE "\w+" ADD COLUMN "\w+" text',
        r'ALTER TABLE "\w+"\s+ADD COLUMN IF NOT EXISTS',
        r'ALTER TABLE "\w+" DROP COLUMN',
        r'CREATE INDEX "\w+" ON "\w+" USING btree',
        r'DROP INDEX "\w+"',
        r"^UPDATE config\n",
        r'"\w+" "tool_kind" DEFAULT',
        r'ADD COLUMN "\w+" "call_outcome" DEFAULT',
        r'"public"\."call_outcome" DEFAULT \'\w+\'::"public"\."call_outcome"',
        r"DEFAULT '\{\}'::text\[\]",
        r"--> statement-breakpoint",
        r"^--.*;.*\w",
    ],
)
def test_every_form_of_statement_is_there(form: str) -> None:
    assert re.search(form, SQL, re.MULTILINE)


def test_the_journal_lists_the_migrations_in_order() -> None:
    entries = json.loads((TREE / "apps/backend/drizzle/meta/_journal.json").read_text())["entries"]

    assert [e["tag"] for e in entries] == [path.stem for path in MIGRATIONS]
    assert [e["idx"] for e in entries] == list(range(len(MIGRATIONS)))
    assert sorted({e["when"] for e in entries}) == [e["when"] for e in entries]


def test_schema_and_migrations_agree() -> None:
    tables = set(re.findall(r'pgTable\(\s*"(\w+)"', SCHEMA))
    enums = set(re.findall(r'pgEnum\(\s*"(\w+)"', SCHEMA))

    assert tables == set(re.findall(r'CREATE TABLE (?:"public"\.)?"(\w+)"', SQL))
    assert enums == set(re.findall(r'CREATE TYPE "public"\."(\w+)"', SQL))
    assert len(tables) == SCHEMA.count("pgTable(")
    assert len(enums) == SCHEMA.count("pgEnum(")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("apps/backend/src/index.ts", "app.listen(12009, async () => {"),
        ("apps/backend/src/db/index.ts", "export const pool = new Pool({\n  connectionString: DATABASE_URL,"),
        ("apps/backend/drizzle.config.ts", "export default defineConfig({"),
        ("apps/frontend/next.config.js", 'output: "standalone"'),
        ("apps/frontend/next.config.js", 'const backendUrl = "http://localhost:12009";'),
        ("apps/frontend/middleware.ts", 'baseURL: "http://localhost:12009"'),
        ("package.json", '"packageManager": "pnpm@9.0.0"'),
    ],
)
def test_what_is_patched_looks_as_upstream_does(file: str, text: str) -> None:
    assert text in (TREE / file).read_text()


def test_the_lockfile_holds_digests_and_no_addresses() -> None:
    lock = (TREE / "pnpm-lock.yaml").read_text()

    assert "integrity: sha512-" in lock
    assert not re.search(r"https?://|tarball:", lock)


def test_the_repository_is_the_same_whoever_makes_it(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sample.sample_repository(tmp_path / "one")
    (isolated / ".gitconfig").write_text(
        "[user]\nname = Somebody\n[commit]\ngpgSign = true\n[tag]\ngpgSign = true\n[core]\nautocrlf = true\n"
        "[init]\ndefaultBranch = trunk\n"
    )
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        second = sample.sample_repository(tmp_path / "two")
    finally:
        os.umask(before)

    assert git(first, "rev-parse", "sample-v1", "main") == git(second, "rev-parse", "sample-v1", "main")
    assert git(first, "cat-file", "-t", "sample-v1").strip() == "tag"
    assert git(first, "log", "--all", "--format=%ae %aI") == "sample@example.com 2026-01-01T00:00:00+00:00\n"
    assert git(first, "status", "--porcelain") == ""


def test_all_of_the_package_is_in_it(tmp_path: Path) -> None:
    repository = sample.sample_repository(tmp_path)

    tracked = git(repository, "ls-files", "-z").split("\0")[:-1]
    assert sorted(tracked) == sorted(str(path) for path in sample._files(TREE))
    assert ".gitignore" in tracked


def test_it_is_kept_and_made_anew_when_the_package_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    shutil.copytree(TREE, package / "sample")
    monkeypatch.setattr(resources, "PACKAGE", package)
    first = sample.sample_repository(tmp_path / "cache")
    assert sample.sample_repository(tmp_path / "cache") == first

    (package / "sample/README.md").write_text("changed")
    second = sample.sample_repository(tmp_path / "cache")

    assert second != first
    assert git(second, "show", "sample-v1:README.md") == "changed"


def test_what_a_developers_build_left_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    shutil.copytree(TREE, package / "sample")
    for left in ("node_modules/x/y.js", "apps/frontend/.next/z", "apps/backend/dist/index.js"):
        (package / "sample" / left).parent.mkdir(parents=True, exist_ok=True)
        (package / "sample" / left).write_text("x")
    clean = sample.sample_repository(tmp_path / "cache")
    monkeypatch.setattr(resources, "PACKAGE", package)

    assert sample.sample_repository(tmp_path / "cache") == clean


def test_several_make_it_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = {f.result() for f in [pool.submit(sample.sample_repository, tmp_path) for _ in range(4)]}

    assert len(made) == 1
    assert [p.name for p in (tmp_path / "sample").iterdir()] == [made.pop().name]


def test_the_demo_prepares_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAMCP_CACHE_DIR", str(tmp_path / "cache"))
    flags = demo.flags()
    upstream = Upstream(url=flags["upstream.url"], ref=flags["upstream.ref"])
    project = Project(folder, Settings(target=demo.TARGET, upstream=upstream))

    outcome = pipeline.execute(prepare.step(project), project.state)

    assert outcome.facts["ref"] == "sample-v1"
    assert (project.upstream / "apps/backend/src/db/schema.ts").read_text() == SCHEMA


def test_what_to_try_next_names_the_folder_where_it_must() -> None:
    here = demo.next_steps("http://127.0.0.1:1")
    elsewhere = demo.next_steps("http://127.0.0.1:1", Path("/tmp/a demo"))

    assert "metamcp-deploy health -t local" in here
    assert all("-C '/tmp/a demo'" in line for line in elsewhere)
    assert any("http://127.0.0.1:1/metamcp" in line for line in here)
