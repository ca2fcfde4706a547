"""What a patched tree is checked for, whoever made it so."""

from __future__ import annotations

from pathlib import Path

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.patches import verification
from tests.patches.patch_helpers import SCHEMA, write

GOOD = 'import { pgSchema } from "drizzle-orm/pg-core";\nexport const s = pgSchema("metamcp_app");\n'
SOURCE = "apps/backend/src"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        f"{SOURCE}/db/schema.ts": GOOD,
        f"{SOURCE}/talk.ts": "// pgTable( is not used\nconst t = 'pgEnum(';\n",
        "apps/backend/drizzle/0000_a.sql": 'CREATE TABLE "metamcp_app"."a" ("x" text);\n',
    }
    return write(tmp_path / "tree", files)


def problem(tree: Path, *touched: str) -> str:
    with pytest.raises(DeployError) as caught:
        verification.verify(tree, SCHEMA, touched)
    assert caught.value.code is Code.PATCH_INCOMPLETE
    return caught.value.message


def test_a_good_tree(tree: Path) -> None:
    verification.verify(tree, SCHEMA, [f"{SOURCE}/db/schema.ts", f"{SOURCE}/talk.ts"])


@pytest.mark.parametrize(
    "text",
    [
        'const t = pgTable("t", {});',
        'import { pgTable as make } from "drizzle-orm/pg-core";',
        'const e = pg.pgEnum("e", []);',
        'const v = pgView("v");',
        "const make = pgTableCreator((n) => n);",
    ],
)
@pytest.mark.parametrize("name", ["more.ts", "lib/deep/more.tsx"])
def test_something_outside_of_the_schema(tree: Path, text: str, name: str) -> None:
    write(tree, {f"{SOURCE}/{name}": f"\n{text}\n"})
    assert problem(tree).startswith(f"{SOURCE}/{name}:2: pg")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("export {};\n", "found 0 schema objects, expected 1"),
        (GOOD + 'const t = pgSchema("metamcp_app");\n', "found 2 schema objects, expected 1"),
        (GOOD.replace("metamcp_app", "other"), 'schema.ts:2: pgSchema("other")'),
        (GOOD.replace('"metamcp_app"', "NAME"), "schema.ts:2: pgSchema(NAME)"),
    ],
)
def test_the_schema_object(tree: Path, text: str, expected: str) -> None:
    write(tree, {f"{SOURCE}/db/schema.ts": text})
    assert expected in problem(tree)


def test_a_name_in_a_migration_without_the_schema(tree: Path) -> None:
    write(tree, {"apps/backend/drizzle/0001_b.sql": "-- more\nDROP TABLE b;\n"})
    assert problem(tree) == (
        "apps/backend/drizzle/0001_b.sql:2: a name is not in the schema metamcp_app: DROP TABLE b;."
    )


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("apps/frontend/a.ts", "const a = 1;\nfunction {\n", 2),
        ("apps/frontend/a.tsx", "export const A = () => (\n  <div>\n);\n", 1),
        ("apps/frontend/a.js", "f({\n  a: 1,\n", 1),
        ("apps/frontend/a.json", '{\n  "a": \n}\n', 1),
    ],
)
def test_a_touched_file_that_does_not_parse(tree: Path, path: str, text: str, line: int) -> None:
    write(tree, {path: text})
    verification.verify(tree, SCHEMA)
    found = problem(tree, path)
    assert found.startswith(f"{path}:")
    assert int(found.split(":")[1]) >= line
    assert found.endswith("the text does not parse after patching.")


def test_files_that_are_no_code_are_not_parsed(tree: Path) -> None:
    write(tree, {"Dockerfile": "FROM {{", "a.css": "@apply {{ x", "b.ts": ""})
    verification.verify(tree, SCHEMA, ["Dockerfile", "a.css", "b.ts", "deleted.ts"])
