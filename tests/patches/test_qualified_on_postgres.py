"""Qualified migrations on a real PostgreSQL: with an empty search_path they give the schema the originals give."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
from patch_helpers import SCHEMA

from metamcp_deploy import process
from metamcp_deploy.patches.migrations import qualifications
from metamcp_deploy.patches.text_edits import spliced
from metamcp_deploy.postgres import Cluster, binaries

# Forms that the sample's own migrations do not hold.
FURTHER = """
CREATE TYPE "public"."shade" AS ENUM('DARK');--> statement-breakpoint
ALTER TYPE shade ADD VALUE IF NOT EXISTS 'LIGHT' BEFORE 'DARK';--> statement-breakpoint
CREATE TABLE IF NOT EXISTS lamps (
    id bigserial PRIMARY KEY, "shade" "shade" DEFAULT 'DARK' NOT NULL, kinds shade[] DEFAULT '{}'::shade[],
    made timestamp (3) with time zone DEFAULT '2026-01-01',
    price numeric(10, 2) CHECK (price > 0), room text COLLATE "C",
    CHECK ("shade" = 'DARK'::shade OR cast('DARK' AS "public"."shade") = "shade")
);--> statement-breakpoint
CREATE TABLE "public"."bulbs" (lamp bigint REFERENCES lamps(id) ON DELETE cascade, "odd ""name;" text, UNIQUE (lamp));
CREATE UNIQUE INDEX ON bulbs (lower("odd ""name;")) WHERE lamp > 0;
/* DROP TABLE bulbs; /* nested */ -- ' */
INSERT INTO lamps (shade, room) VALUES ('DARK'::shade, $$a; 'b'$$), ('DARK', E'c\\';');
UPDATE lamps AS l SET room = 'x;' WHERE l.room = 'a' OR lower(l.room) IS DISTINCT FROM 'b';
DELETE FROM public.lamps WHERE lamps.room = 'x;' AND extract(epoch FROM made) < 0;
ALTER TABLE lamps RENAME COLUMN room TO place;
ALTER TABLE lamps ALTER COLUMN place SET DATA TYPE varchar(99) USING place::varchar(99), ALTER price SET DEFAULT 1.5;
ALTER TABLE ONLY bulbs RENAME TO tubes;
ALTER TYPE shade RENAME TO tint;
ALTER TABLE tubes ADD COLUMN tint tint DEFAULT 'DARK', ENABLE ROW LEVEL SECURITY;
CREATE INDEX "doomed" ON tubes (tint);
DROP INDEX IF EXISTS "doomed";
"""


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


def test_the_schema_is_identical(cluster: Cluster, sample_tree: Path) -> None:
    paths = sorted((sample_tree / "apps/backend/drizzle").glob("*.sql"))
    texts = {p.name: p.read_text() for p in paths} | {"9999_further.sql": FURTHER}
    edits = qualifications(texts, SCHEMA, "test")
    qualified = {name: spliced(name, text, edits[name]) for name, text in texts.items()}

    def statements(files: dict[str, str]) -> list[str]:
        return [part for text in files.values() for part in text.split("--> statement-breakpoint")]

    original = dumped(cluster, "original", "public", statements(texts), "public")
    ours = dumped(cluster, "qualified", SCHEMA, statements(qualified), "")
    assert "CREATE TABLE tubes" in original
    assert len(re.findall("CREATE TABLE", original)) >= 9
    assert ours == original
    with psycopg.connect(cluster.uri("qualified").reveal()) as session:
        left = session.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert left.fetchone() == (0,)
