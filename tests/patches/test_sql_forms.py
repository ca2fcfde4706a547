"""Every form of statement that a migration may have, and what is refused."""

from __future__ import annotations

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.patches.migrations import QUALIFIED_BY_HAND, qualifications
from metamcp_deploy.patches.text_edits import spliced

TYPES = """CREATE TYPE "public"."mood" AS ENUM('GOOD', 'BAD'); CREATE TYPE "Odd ""Name" AS ENUM('x');"""
# «» stands for the schema; without it, a statement is its own input.
FORMS = [
    """CREATE TYPE «»."m" AS ENUM('A', 'B')""",
    """CREATE TABLE «»."a" ("id" text PRIMARY KEY NOT NULL, "n" integer)""",
    """CREATE TABLE IF NOT EXISTS «».a (id bigserial PRIMARY KEY)""",
    """CREATE TABLE «».a ("m" «»."mood" DEFAULT 'GOOD' NOT NULL, "l" «».mood[] DEFAULT '{}'::«».mood[])""",
    """CREATE TABLE «».a ("o" «»."Odd ""Name", "t" timestamp (3) with time zone DEFAULT now() NOT NULL)""",
    """CREATE TABLE «».a ("f" double precision, "c" character varying(20) COLLATE "C", "n" numeric(10, 2))""",
    """CREATE TABLE «».a (p text REFERENCES «»."b"("id") ON DELETE cascade, UNIQUE("p"), CHECK (p ~ '^[a-z(]+$'))""",
    """CREATE TABLE «».a ("id" integer GENERATED ALWAYS AS IDENTITY (sequence name "s" start 1))""",
    """ALTER TABLE «»."a" ADD COLUMN "m" «»."mood" DEFAULT 'GOOD' NOT NULL""",
    """ALTER TABLE IF EXISTS ONLY «»."a" ADD COLUMN IF NOT EXISTS "j" jsonb DEFAULT NULL""",
    """ALTER TABLE «»."a" ADD "x" text, DROP COLUMN IF EXISTS "y" CASCADE, ALTER "z" SET NOT NULL""",
    """ALTER TABLE «»."a" ADD CONSTRAINT "fk" FOREIGN KEY ("u") REFERENCES «»."users"("id") ON DELETE set null""",
    """ALTER TABLE «»."a" ADD CONSTRAINT "u" UNIQUE("x","y")""",
    """ALTER TABLE «»."a" ADD CONSTRAINT "k" CHECK ("m" = 'GOOD'::«».mood AND cast(x AS «»."mood") IS NOT NULL)""",
    """ALTER TABLE «»."a" DROP CONSTRAINT IF EXISTS "u\"""",
    """ALTER TABLE «»."a" ALTER COLUMN "m" SET DATA TYPE «».mood USING "m"::text::«».mood""",
    """ALTER TABLE «»."a" ALTER COLUMN "m" SET DEFAULT mood 'GOOD'""".replace("mood '", "«».mood '"),
    """ALTER TABLE «»."a" ALTER COLUMN "m" DROP DEFAULT, ALTER COLUMN "m" DROP NOT NULL""",
    """ALTER TABLE «»."a" RENAME TO "b\"""",
    """ALTER TABLE «»."a" RENAME COLUMN "x" TO "y\"""",
    """ALTER TABLE «»."a" RENAME CONSTRAINT "x" TO "y\"""",
    """ALTER TABLE «»."a" ENABLE ROW LEVEL SECURITY""",
    """ALTER TABLE «»."a" VALIDATE CONSTRAINT "x\"""",
    """ALTER TYPE «»."mood" ADD VALUE IF NOT EXISTS 'SO;SO' BEFORE 'BAD'""",
    """ALTER TYPE «»."mood" RENAME VALUE 'a' TO 'b'""",
    """ALTER INDEX «»."i" RENAME TO "j\"""",
    """CREATE INDEX "i" ON «»."a" USING btree ("x" DESC NULLS LAST)""",
    """CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "i" ON ONLY «».a (lower("x")) WHERE "m" = 'GOOD'::«».mood""",
    """CREATE INDEX ON «»."a" ("x") WITH (fillfactor=70)""",
    """DROP INDEX IF EXISTS «»."i", «»."j" CASCADE""",
    """DROP TABLE «»."a\"""",
    """DROP TYPE IF EXISTS «»."mood" RESTRICT""",
    """UPDATE «».config SET id = 'A', at = extract(epoch FROM now()) WHERE config.id = 'a' AND b IS DISTINCT FROM c""",
    """UPDATE ONLY «»."config" AS c SET "x" = 1 WHERE c."y" = 2""",
    """INSERT INTO «»."config" ("id", "m") VALUES ('a;b', 'GOOD'::«»."mood") ON CONFLICT ("id") DO NOTHING""",
    """DELETE FROM «».config WHERE id IN ('a', 'b')""",
]
REFUSED = {
    "SELECT 1": "form this tool does not know",
    "CREATE EXTENSION vector": "form this tool does not know",
    "DO $$ BEGIN CREATE TABLE a (); END $$": "form this tool does not know",
    'CREATE SCHEMA "x"': "form this tool does not know",
    "CREATE TEMP TABLE a (id text)": "form this tool does not know",
    "CREATE VIEW v AS SELECT 1": "form this tool does not know",
    "CREATE TABLE a AS SELECT 1": "`AS`",
    "CREATE TABLE a (LIKE b)": "`LIKE`",
    "CREATE TABLE a (x vector(3))": "type vector",
    "CREATE TABLE a (x unknown_enum)": "type unknown_enum",
    'CREATE TABLE a (x "text")': 'type "text"',
    "CREATE TABLE a (x text) INHERITS (b)": "`INHERITS`",
    "CREATE TABLE a (x text": "ends too early",
    "CREATE TABLE other.a (x text)": "names another schema, other",
    "CREATE TABLE d.public.a (x text)": "names another schema, d",
    "CREATE TABLE public.a.b (x text)": "`.`",
    "ALTER TABLE a SET SCHEMA b": "`SET`",
    "ALTER TABLE a ALTER COLUMN x SET DEFAULT nextval('s')": "`nextval`",
    "ALTER TABLE a ALTER COLUMN x SET DEFAULT 's'::regclass": "type regclass",
    "ALTER TABLE a ALTER COLUMN x SET DEFAULT public.made()": "calls public.made",
    "UPDATE a SET x = (SELECT max(y) FROM b)": "`SELECT`",
    "UPDATE a SET x = b.y FROM b": "`FROM`",
    "DELETE FROM a USING b WHERE a.x = b.y": "`USING`",
    "INSERT INTO a SELECT * FROM b": "`SELECT`",
    "DROP INDEX": "ends too early",
    "CREATE TABLE a (x text) /* not closed": "unclosed",
    "UPDATE a SET x = 'not closed": "unclosed",
    "UPDATE a SET x = '--> statement-breakpoint'": "unclosed",
}


def qualified(sql: str, schema: str = "app") -> str:
    """A migration as it is written out, after one that creates the types."""
    edits = qualifications({"0000.sql": TYPES, "0001.sql": sql}, schema, "test")["0001.sql"]
    return spliced("0001.sql", sql, edits)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", ["", '"public".', "public.", '"app".'])
def test_a_form(form: str, before: str) -> None:
    assert qualified(form.replace("«».", before)) == (
        form.replace("«».", "app." if before == "app." else '"app".')
    )


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_to_qualify(form: str) -> None:
    done = form.replace("«»", '"app"')
    assert qualified(done) == done


@pytest.mark.parametrize(("sql", "problem"), REFUSED.items())
def test_what_is_not_understood_is_an_error(sql: str, problem: str) -> None:
    with pytest.raises(DeployError) as caught:
        qualified("ALTER TABLE a ADD x text;\n\n" + sql)
    assert caught.value.code is Code.PATCH_INCOMPLETE
    assert caught.value.message.startswith("0001.sql:3: ")
    assert problem in caught.value.message
    assert (caught.value.detail or "") in sql


def test_comments_quotes_and_breakpoints_do_not_end_statements() -> None:
    sql = (
        "-- DROP TABLE a; 'not a string\n"
        "/* CREATE TABLE b (; /* nested */ ' */ UPDATE config SET\n"
        "  a = 'x; DROP TABLE c', b = $$ ; ' $$, c = $t$ $$ ; $t$, d = E'\\'; ', e = '', \"f;\" = U&'\\0041;'\n"
        '--> statement-breakpoint\nDROP INDEX i--> statement-breakpoint\n;;\r\nDROP TABLE "a""b;"'
    )
    assert qualified(sql) == (
        sql.replace("UPDATE config", 'UPDATE "app".config')
        .replace("DROP INDEX i-", 'DROP INDEX "app".i-')
        .replace('DROP TABLE "a""b', 'DROP TABLE "app"."a""b')
    )


def test_lower_case_and_other_identifiers() -> None:
    assert qualified("create table Größe$1 (a Mood)", "ÿ") == 'create table "ÿ".Größe$1 (a "ÿ".Mood)'


def test_a_schema_name_is_quoted() -> None:
    assert qualified("DROP TABLE a", 'odd"name') == 'DROP TABLE "odd""name".a'


def test_a_column_may_be_called_like_a_type() -> None:
    sql = "UPDATE {}config SET mood = 'x' WHERE mood = 'y' AND \"mood\" IN ('a')"
    assert qualified(sql.format("")) == sql.format('"app".')


def test_a_statement_qualified_by_hand_is_passed() -> None:
    by_hand = f"{QUALIFIED_BY_HAND}\nDO $$ BEGIN NULL; END $$;\n"
    assert qualified(by_hand + "DROP TABLE a;") == by_hand + 'DROP TABLE "app".a;'


def test_by_hand_counts_for_one_statement_only() -> None:
    with pytest.raises(DeployError, match=r"0001\.sql:3: .*does not know"):
        qualified(f"{QUALIFIED_BY_HAND}\nSELECT 1;\nSELECT 2;")


def test_a_renamed_type_is_known() -> None:
    sql = "ALTER TYPE mood RENAME TO temper; ALTER TABLE a ADD t temper"
    assert qualified(sql) == 'ALTER TYPE "app".mood RENAME TO temper; ALTER TABLE "app".a ADD t "app".temper'


def test_an_empty_migration_stays() -> None:
    assert qualified("-- nothing to do\n") == "-- nothing to do\n"
