"""What the tests of patches share besides fixtures."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import psycopg

from metamcp_deploy import process
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.patches import declaration, engine
from metamcp_deploy.patches.migrations import qualifications
from metamcp_deploy.patches.text_edits import spliced
from metamcp_deploy.postgres import Cluster, binaries

SCHEMA = "metamcp_app"
PatchMaker = Callable[..., declaration.Patch]


def write(folder: Path, files: dict[str, str]) -> Path:
    """Writes files (dedented) below a folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(textwrap.dedent(text))
    return folder


def builtin(patch: str) -> declaration.Patch:
    """One of the package's patches."""
    return next(p for p in declaration.load() if p.id == patch)


def transformed(folder: Path, patch: str, path: str, before: str) -> str:
    """A file of a tree after one of the package's patches; the tree holds only that file."""
    write(folder, {path: before})
    engine.apply(folder, [builtin(patch)], {"schema": SCHEMA})
    return (folder / path).read_text()


def prepared(folder: Path, repository: Path, ref: str, **settings: object) -> Project:
    """What `prepare` leaves behind, as far as `patch` looks at it."""
    made = Project(folder, Settings.model_validate({"target": "local", **settings}))
    process.run(["git", "clone", "--quiet", repository, made.upstream])
    commit = process.run(["git", "-C", made.upstream, "rev-parse", f"{ref}^{{commit}}"]).stdout.strip()
    made.state.mkdir(parents=True)
    record = {"fingerprint": {}, "facts": {"commit": commit, "ref": ref}}
    (made.state / "prepare.json").write_text(json.dumps(record))
    return made


def both_ways(cluster: Cluster, name: str, texts: dict[str, str]) -> tuple[str, str]:
    """Dumps of the schema that migrations make in public, and qualified with an empty search_path in SCHEMA."""
    edits = qualifications(texts, SCHEMA, "test")
    qualified = {path: spliced(path, text, edits[path]) for path, text in texts.items()}

    def statements(files: dict[str, str]) -> list[str]:
        return [part for path in sorted(files) for part in files[path].split("--> statement-breakpoint")]

    original = dumped(cluster, f"{name}-original", "public", statements(texts), "public")
    ours = dumped(cluster, f"{name}-qualified", SCHEMA, statements(qualified), "")
    with psycopg.connect(cluster.uri(f"{name}-qualified").reveal()) as session:
        left = session.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert left.fetchone() == (0,)
    return original, ours


def dumped(cluster: Cluster, database: str, schema: str, statements: list[str], search_path: str) -> str:
    """What pg_dump says of a schema after statements ran with a search_path, the schema's name taken out."""
    with psycopg.connect(cluster.uri().reveal(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{database}"')  # type: ignore[call-overload]
    uri = cluster.uri(database).reveal()
    with psycopg.connect(uri, autocommit=True) as session:
        session.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')  # type: ignore[call-overload]
        session.execute("SELECT set_config('search_path', %s, false)", [search_path])
        for statement in statements:
            session.execute(statement)  # type: ignore[call-overload]
        assert session.execute("SHOW search_path").fetchone() == (search_path,)
    program = binaries.installed() / "bin" / "pg_dump"
    dump = process.run([program, "--inserts", f"--schema={schema}", uri]).stdout
    ours = [
        line
        for line in dump.splitlines()
        if line and not re.match(r"--|\\|SET |(CREATE|ALTER|COMMENT ON) SCHEMA ", line)
    ]
    return re.sub(rf'"?\b{schema}\b"?\.', "", "\n".join(ours)).replace(f"Schema: {schema}", "")
