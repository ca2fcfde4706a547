"""All patches on every release of the real upstream that this tool supports. Needs METAMCP_TEST_UPSTREAM, a clone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metamcp_deploy import process
from metamcp_deploy.patches import declaration, engine, migrations, overrides, tree, verification
from metamcp_deploy.postgres import Cluster
from tests.patches.patch_helpers import SCHEMA, both_ways

# Edits that every release needs alike; those of schema and migrations grow with the upstream.
SAME = {"backend-port": 6, "drizzle-config": 1, "frontend-backend-address": 2, "session-ends": 8}
AT_LEAST = {"schema": 16, "migrations": 55}


def refs(upstream: Path) -> list[str]:
    tags = process.run(["git", "-C", upstream, "tag", "--sort=v:refname"]).stdout.split()
    releases = [
        t
        for t in tags
        if re.fullmatch(r"v2\.[0-4]\.\d+", t) and t not in ("v2.0.0", "v2.0.1", "v2.0.2", "v2.0.3")
    ]
    heads = process.run(
        ["git", "-C", upstream, "for-each-ref", "--format=%(refname)", "**/main"]
    ).stdout.split()
    return releases + heads[:1]


def test_every_release(test_upstream: Path, tmp_path: Path) -> None:
    checked = refs(test_upstream)
    assert {"v2.0.4", "v2.4.22"} <= set(checked)
    patches, whole_files = declaration.load(), overrides.load()
    for ref in checked:
        folder = tmp_path / ref.replace("/", "-")
        tree.export(test_upstream, ref, folder)
        overrides.lay(folder, whole_files)
        applied = {a.id: a for a in engine.apply(folder, patches, {"schema": SCHEMA})}
        verification.verify(folder, SCHEMA, [f for a in applied.values() for f in a.files])
        counts = {i: a.matches for i, a in applied.items()}
        assert {i: counts[i] for i in SAME} == SAME, ref
        assert all(counts[i] >= least for i, least in AT_LEAST.items()), (ref, counts)
        assert counts["pool"] in (3, 4), ref
        assert counts["child-environment"] in (1, 3, 6), ref
        assert_nothing_handed_out(folder)
        assert "DATABASE_URL" not in (folder / "apps/backend/src/db/index.ts").read_text(), ref


def assert_nothing_handed_out(folder: Path) -> None:
    """No place is left that hands the whole environment on, or any variable that somebody names."""
    for path in (folder / "apps/backend/src").rglob("*.ts"):
        text = path.read_text()
        if "databricks" not in path.parts:
            assert not re.search(r"\.\.\.process\.env\b", text), path
            assert set(re.findall(r"process\.env\[(\w+)\]", text)) <= {"key"}, path  # names from a fixed list


@pytest.mark.parametrize("ref", ["v2.0.4", "v2.4.0", "v2.4.21"])
def test_migrations_grow_only(test_upstream: Path, tmp_path: Path, ref: str) -> None:
    """A name is qualified in the same way in every release, so that a database may go from one to the next."""
    files = {}
    for name in (ref, "v2.4.22"):
        folder = tmp_path / name.replace(".", "_")
        tree.export(test_upstream, name, folder)
        found = {p.name: p.read_text() for p in (folder / "apps/backend/drizzle").glob("*.sql")}
        files[name] = {
            n: [(e.start, e.text) for e in v] for n, v in migrations.qualifications(found, "s", "t").items()
        }
    assert files[ref].items() <= files["v2.4.22"].items()


def test_the_schema_on_postgres_is_identical(test_upstream: Path, tmp_path: Path, cluster: Cluster) -> None:
    """The newest release and main; migrations of all others are among theirs."""
    for number, ref in enumerate(refs(test_upstream)[-2:]):
        tree.export(test_upstream, ref, tmp_path / str(number))
        found = (tmp_path / str(number) / "apps/backend/drizzle").glob("*.sql")
        original, ours = both_ways(cluster, f"upstream-{number}", {p.name: p.read_text() for p in found})
        assert original.count("CREATE TABLE") == 16, ref
        assert ours == original, ref
