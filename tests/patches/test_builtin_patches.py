"""Each of the package's patches on input that it changes, must leave alone, or no longer fits.

Inputs are ours, with the shapes that the upstream has had (which: `seen` in the patch).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.patches import declaration, engine
from tests.patches.patch_helpers import SCHEMA, builtin, transformed, write

TABLES = "apps/backend/src/db/schema.ts"
POOL = "apps/backend/src/db/index.ts"
SERVER = "apps/backend/src/index.ts"
CONFIG = "apps/backend/drizzle.config.ts"
MIDDLEWARE = "apps/frontend/middleware.ts"
NEXT = "apps/frontend/next.config.js"
SQL = "apps/backend/drizzle/0000_first.sql"
EXPANSION = "apps/backend/src/lib/metamcp/utils.ts"
INSPECTOR = "apps/backend/src/routers/mcp-proxy/server.ts"

TABLES_BEFORE = """\
import { sql } from "drizzle-orm";
import {
  index,
  pgEnum,
  pgTable,
  text,
} from "drizzle-orm/pg-core";

export const colour = pgEnum("colour", ["RED"]);
export const boxes = pgTable(
  "boxes",
  { id: text("id"), note: text("pgTable") },
  (table) => [index("i").on(table.id)],
);
export const lids = pgTable("lids", { colour: colour("colour") });
"""
TABLES_AFTER = """\
import { sql } from "drizzle-orm";
import {
  index,
  pgSchema,
  text,
} from "drizzle-orm/pg-core";

// One schema for everything: the app may create schemas, but nothing in public.
export const metamcpSchema = pgSchema("metamcp_app");

export const colour = metamcpSchema.enum("colour", ["RED"]);
export const boxes = metamcpSchema.table(
  "boxes",
  { id: text("id"), note: text("pgTable") },
  (table) => [index("i").on(table.id)],
);
export const lids = metamcpSchema.table("lids", { colour: colour("colour") });
"""
POOL_BEFORE = """\
import { drizzle } from "drizzle-orm/node-postgres";
import { Pool } from "pg";

import * as schema from "./schema";

const { DATABASE_URL, POSTGRES_CA_CERT } = process.env;

if (!DATABASE_URL) {
  throw new Error("no database");
}

export const pool = new Pool({
  connectionString: DATABASE_URL,
  ...(POSTGRES_CA_CERT && { ssl: { ca: POSTGRES_CA_CERT } }),
});

pool.on("error", (problem) => log(problem));

export const db = drizzle(pool, { schema });
"""
CONNECTION = """\
  // Separate fields, because a connection string's password would win over the function that is asked for each
  // new connection: passwords end after an hour.
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT ?? 5432),
  database: process.env.PGDATABASE,
  user: process.env.PGUSER,
  password: databasePassword,
"""
POOL_AFTER = f"""\
import {{ drizzle }} from "drizzle-orm/node-postgres";
import {{ Pool }} from "pg";

import {{ databasePassword, databaseSsl }} from "../databricks/database-password";

import * as schema from "./schema";

const {{ POSTGRES_CA_CERT }} = process.env;

if (!process.env.PGHOST) {{
  throw new Error("PGHOST is not set");
}}

export const pool = new Pool({{
{CONNECTION}  ssl: databaseSsl(),
  ...(POSTGRES_CA_CERT && {{ ssl: {{ ca: POSTGRES_CA_CERT }} }}),
}});

pool.on("error", (problem) => log(problem));

export const db = drizzle(pool, {{ schema }});
"""
URL_BEFORE = """\
import { drizzle } from "drizzle-orm/node-postgres";

import * as schema from "./schema";

if (!process.env.DATABASE_URL) {
  throw new Error("no database");
}

export const db = drizzle(process.env.DATABASE_URL, { schema });
"""
URL_AFTER = f"""\
import {{ drizzle }} from "drizzle-orm/node-postgres";
import {{ Pool }} from "pg";

import {{ databasePassword, databaseSsl }} from "../databricks/database-password";

import * as schema from "./schema";

if (!process.env.PGHOST) {{
  throw new Error("PGHOST is not set");
}}

export const pool = new Pool({{
{CONNECTION}  ssl: databaseSsl()
}});

// An idle connection that the server closes must not end the process; the pool opens another when one is needed.
pool.on("error", (error) => {{
  console.error("Lost an idle database connection:", error.message);
}});

export const db = drizzle(pool, {{ schema }});
"""
PORT = "process.env.METAMCP_BACKEND_PORT ?? 12009"
SERVER_BEFORE = """\
import express from "express";

const app = express();
// 12009 here, and "localhost:12009" there, are only talk
const limit = 12009;
async function start() {
  app.listen(12009, async () => {
    console.log(`running on port 12009`, process.env.NODE_ENV);
    console.log(`see http://localhost:12009/x`);
  });
}
"""

CHANGES = {
    "schema": (TABLES, TABLES_BEFORE, TABLES_AFTER),
    "pool": (POOL, POOL_BEFORE, POOL_AFTER),
    "pool, only the url destructured": (
        POOL,
        POOL_BEFORE.replace(", POSTGRES_CA_CERT }", " }").replace(
            "  ...(POSTGRES_CA_CERT && { ssl: { ca: POSTGRES_CA_CERT } }),\n", ""
        ),
        POOL_AFTER.replace("const { POSTGRES_CA_CERT } = process.env;", "").replace(
            "  ...(POSTGRES_CA_CERT && { ssl: { ca: POSTGRES_CA_CERT } }),\n", ""
        ),
    ),
    "pool, by url": (POOL, URL_BEFORE, URL_AFTER),
    "pool, by a url that is logged": (
        POOL,
        URL_BEFORE.replace("}\n\nexp", '}\nconsole.log("it is", process.env.DATABASE_URL);\n\nexp'),
        URL_AFTER.replace("}\n\nexport const pool", "}\n\n\nexport const pool"),
    ),
    "backend-port": (
        SERVER,
        SERVER_BEFORE.replace('// 12009 here, and "localhost:12009" there, are only talk\n', ""),
        SERVER_BEFORE.replace('// 12009 here, and "localhost:12009" there, are only talk\n', "")
        .replace("listen(12009", f'listen(Number({PORT}), "127.0.0.1"')
        .replace("port 12009", f"port ${{{PORT}}}")
        .replace("localhost:12009", f"localhost:${{{PORT}}}"),
    ),
    "drizzle-config": (
        CONFIG,
        'export default defineConfig({\n  dialect: "postgresql",\n  schema: "./s.ts",\n});\n',
        'export default defineConfig({\n  dialect: "postgresql",\n  schemaFilter: ["metamcp_app"],\n'
        '  migrations: { schema: "metamcp_app", table: "__drizzle_migrations" },\n  schema: "./s.ts",\n});\n',
    ),
    "migrations": (
        SQL,
        'CREATE TYPE "public"."c" AS ENUM(\'R\');--> statement-breakpoint\nCREATE TABLE "b" (\n\t"c" "c"\n);\n',
        'CREATE TYPE "metamcp_app"."c" AS ENUM(\'R\');--> statement-breakpoint\n'
        'CREATE TABLE "metamcp_app"."b" (\n\t"c" "metamcp_app"."c"\n);\n',
    ),
}
# What no longer fits: (patch, file, text, found and expected)
DRIFTED = [
    ("schema", TABLES, TABLES_BEFORE.replace("drizzle-orm/pg-core", "elsewhere"), "found 0, expected 1"),
    ("schema", TABLES, TABLES_BEFORE + "// pgTable( in a comment\n", "found 2, expected 3"),
    ("schema", TABLES, TABLES_BEFORE.replace("pgEnum(", "makeEnum("), "found 0, expected 1"),
    ("pool", POOL, POOL_BEFORE.replace("connectionString", "url"), "found 0, expected 1"),
    ("pool", POOL, POOL_BEFORE.replace("throw new", "report"), "found 0, expected 1"),
    ("pool", POOL, URL_BEFORE.replace("DATABASE_URL, {", "DB_URL, {"), "found 0, expected 1"),
    ("backend-port", SERVER, SERVER_BEFORE, "found 2, expected 3"),
    ("backend-port", SERVER, SERVER_BEFORE.replace("listen(12009", "listen(port"), "found 0, expected 1"),
    ("drizzle-config", CONFIG, 'export default { dialect: "postgresql" };\n', "found 0, expected 1"),
    ("migrations", "apps/backend/drizzle/README", "", "finds no file"),
]
ALREADY = [
    ("schema", TABLES, TABLES_AFTER),
    ("pool", POOL, POOL_AFTER),
    ("backend-port", SERVER, "app.listen(Number(process.env.PORT ?? 12009), () => {});\n"),
    ("backend-port", SERVER, "app.listen(process.env.PORT, () => {});\n"),
    (
        "drizzle-config",
        CONFIG,
        'export default defineConfig({ dialect: "postgresql", schemaFilter: ["x"] });\n',
    ),
    ("migrations", SQL, 'DROP TABLE "metamcp_app"."b";\n'),
]
BASE_URL = """\
ask("/session", {
  baseURL: "http://localhost:12009",
  headers: { origin: request.nextUrl.origin },
});
"""
REWRITES = 'async function f() {\n  const backendUrl = "http://localhost:12009";\n}\n'
ADDRESS = f"`http://127.0.0.1:${{{PORT}}}`"


@pytest.mark.parametrize(("name", "case"), CHANGES.items())
def test_transformed(tmp_path: Path, name: str, case: tuple[str, str, str]) -> None:
    path, before, after = case
    assert transformed(tmp_path, name.partition(",")[0], path, before) == after


@pytest.mark.parametrize(("patch", "path", "text", "counts"), DRIFTED)
def test_drifted(tmp_path: Path, patch: str, path: str, text: str, counts: str) -> None:
    with pytest.raises(DeployError) as caught:
        transformed(tmp_path, patch, path, text)
    assert caught.value.code is Code.PATCH_DRIFT
    assert f"Patch {patch} " in caught.value.message
    assert counts in caught.value.message
    assert (tmp_path / path).read_text() == text


@pytest.mark.parametrize(("patch", "path", "text"), ALREADY)
def test_already_so_upstream(tmp_path: Path, patch: str, path: str, text: str) -> None:
    with pytest.raises(DeployError, match=f"Patch {patch} is obsolete") as caught:
        transformed(tmp_path, patch, path, text)
    assert caught.value.code is Code.PATCH_OBSOLETE


EXPANDS = """\
import { Server } from "somewhere";

export function expand(varName: string) {
  return process.env[varName] ? process.env[varName] : varName;
}
"""
EXPANDS_AFTER = """\
import { Server } from "somewhere";

import { childVariable } from "../../databricks/child-environment";

export function expand(varName: string) {
  return childVariable(varName) ? childVariable(varName) : varName;
}
"""
HANDS_OUT = "const one = { ...process.env, ...given };\nconst two = { ...process.env };\n"


@pytest.mark.parametrize(
    ("before", "after"), [(EXPANDS, EXPANDS_AFTER), ("export const env = process.env;\n",) * 2]
)
def test_what_mcp_servers_get(tmp_path: Path, before: str, after: str) -> None:
    write(tmp_path, {EXPANSION: before, INSPECTOR: HANDS_OUT})
    engine.apply(tmp_path, [builtin("child-environment")], {"schema": SCHEMA})
    assert (tmp_path / EXPANSION).read_text() == after
    assert (tmp_path / INSPECTOR).read_text() == HANDS_OUT.replace("process.env", "defaultEnvironment")


@pytest.mark.parametrize(
    ("expansion", "inspector"),
    [
        (EXPANDS, "const one = { ...environment };\n"),
        (EXPANDS, HANDS_OUT + "// ...process.env\n"),
        (EXPANDS + "// process.env[varName]\n", HANDS_OUT),
    ],
)
def test_what_mcp_servers_get_elsewhere(tmp_path: Path, expansion: str, inspector: str) -> None:
    write(tmp_path, {EXPANSION: expansion, INSPECTOR: inspector})
    with pytest.raises(DeployError) as caught:
        engine.apply(tmp_path, [builtin("child-environment")], {"schema": SCHEMA})
    assert caught.value.code is Code.PATCH_DRIFT


ROUTER = """\
import { randomUUID } from "node:crypto";

const cleanupSession = async (%s) => {
  await transports.get(sessionId)?.close();
};

export default router;
"""
ROUTER_AFTER = """\
import { randomUUID } from "node:crypto";

import { endsSessions } from "../../databricks/session-ends";

const cleanupSession = async (%s) => {
  await transports.get(sessionId)?.close();
};

endsSessions("%s", (%s) => cleanupSession(%s));

export default router;
"""
ROUTERS = ("public-metamcp/streamable-http", "public-metamcp/sse", "mcp-proxy/metamcp", "mcp-proxy/server")


@pytest.mark.parametrize(
    ("parameters", "taken"),
    [
        ("sessionId: string", "sessionId"),
        ("\n  sessionId: string,\n  transport?: Transport,\n", "sessionId"),
        ("sessionId: string, endpointName: string", "sessionId, endpoint"),
    ],
)
def test_the_routers_clean_ups_are_handed_over(tmp_path: Path, parameters: str, taken: str) -> None:
    given = {f"apps/backend/src/routers/{name}.ts": ROUTER % "sessionId: string" for name in ROUTERS}
    first = next(iter(given))
    write(tmp_path, given | {first: ROUTER % parameters})
    engine.apply(tmp_path, [builtin("session-ends")], {"schema": SCHEMA})
    for name in ROUTERS[1:]:
        after = ROUTER_AFTER % ("sessionId: string", name, "sessionId", "sessionId")
        assert (tmp_path / f"apps/backend/src/routers/{name}.ts").read_text() == after
    assert (tmp_path / first).read_text() == ROUTER_AFTER % (
        parameters,
        ROUTERS[0],
        taken,
        taken,
    )


@pytest.mark.parametrize("name", ROUTERS)
def test_a_clean_up_of_another_shape(tmp_path: Path, name: str) -> None:
    given = {f"apps/backend/src/routers/{n}.ts": ROUTER % "sessionId: string" for n in ROUTERS}
    path = f"apps/backend/src/routers/{name}.ts"
    write(tmp_path, given | {path: given[path].replace("const cleanupSession", "const endSession")})
    with pytest.raises(DeployError, match="session-ends") as caught:
        engine.apply(tmp_path, [builtin("session-ends")], {"schema": SCHEMA})
    assert caught.value.code is Code.PATCH_DRIFT


@pytest.mark.parametrize("address", ['"http://localhost:12009"', "request.nextUrl.origin"])
def test_the_front_ends_addresses(tmp_path: Path, address: str) -> None:
    before = BASE_URL.replace('"http://localhost:12009"', address)
    write(tmp_path, {MIDDLEWARE: before, NEXT: REWRITES})
    engine.apply(tmp_path, [builtin("frontend-backend-address")], {"schema": SCHEMA})
    assert (tmp_path / MIDDLEWARE).read_text() == BASE_URL.replace('"http://localhost:12009"', ADDRESS)
    assert (tmp_path / NEXT).read_text() == REWRITES.replace('"http://localhost:12009"', ADDRESS)


@pytest.mark.parametrize(
    ("middleware", "config", "code"),
    [
        (BASE_URL.replace("baseURL", "base"), REWRITES, Code.PATCH_DRIFT),
        (BASE_URL, REWRITES.replace("12009", "3001"), Code.PATCH_DRIFT),
        (BASE_URL, REWRITES * 2, Code.PATCH_DRIFT),
        ("ask({ baseURL: `http://x:${process.env.PORT}` });\n", REWRITES, Code.PATCH_OBSOLETE),
        (BASE_URL, "const backendUrl = process.env.BACKEND;\n", Code.PATCH_OBSOLETE),
    ],
)
def test_other_addresses(tmp_path: Path, middleware: str, config: str, code: Code) -> None:
    write(tmp_path, {MIDDLEWARE: middleware, NEXT: config})
    with pytest.raises(DeployError) as caught:
        engine.apply(tmp_path, [builtin("frontend-backend-address")], {"schema": SCHEMA})
    assert caught.value.code is code


def test_every_patch_says_what_and_why() -> None:
    patches = declaration.load()
    assert {p.id for p in patches} == {c.partition(",")[0] for c in CHANGES} | {
        "child-environment",
        "frontend-backend-address",
        "session-ends",
    }
    for patch in patches:
        assert patch.what.endswith(".")
        assert len(patch.why) > 80
        assert patch.verified
