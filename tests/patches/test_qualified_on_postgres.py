"""Qualified migrations on a real PostgreSQL: with an empty search_path they give the schema the originals give."""

from __future__ import annotations

from pathlib import Path

from metamcp_deploy.postgres import Cluster
from tests.patches.patch_helpers import both_ways

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


def test_the_schema_is_identical(cluster: Cluster, sample_tree: Path) -> None:
    paths = (sample_tree / "apps/backend/drizzle").glob("*.sql")
    texts = {p.name: p.read_text() for p in paths} | {"9999_further.sql": FURTHER}
    original, ours = both_ways(cluster, "sample", texts)
    assert original.count("CREATE TABLE") >= 9
    assert "CREATE TABLE tubes" in original
    assert ours == original
