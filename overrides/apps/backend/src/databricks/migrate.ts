// Brings the app's schema up to the release's migrations. Started by the launcher, once per start, before the backend.
//
// It keeps the ledger that drizzle's migrator keeps (same table, same columns, same rule of what is applied), inside the
// app's schema. It does not call that migrator, because that one creates the schema with IF NOT EXISTS, which needs CREATE
// on the database even when the schema is there, and skips a migration silently when its `when` is below the last applied.
//
// All of it is one transaction: a start that fails leaves the database as it was, so the release before goes on working.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { Client } from "pg";

import { databasePassword, databaseSsl } from "./database-password";

const LEDGER = "__drizzle_migrations";
const BREAKPOINT = "--> statement-breakpoint";
const CONNECT_MS = 15_000;
const LOCK_WAIT = "60s";

interface Migration {
  tag: string;
  when: number;
  hash: string;
  statements: string[];
}

interface Problem {
  ok: false;
  code: string;
  message: string;
  detail?: string;
  heals: boolean;
}

class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly heals = false,
  ) {
    super(message);
  }
}

// SQLSTATE or Node's error code → what a person reads, and whether trying again can help.
const KNOWN: Record<string, [code: string, message: string, heals: boolean]> = {
  "28P01": ["login_refused", "The database refused the app's credential.", true],
  "28000": ["login_refused", "The database has no role for the app: attach the database resource to it.", true],
  "3D000": ["database_missing", "The database does not exist: deploy the bundle again.", true],
  "42501": [
    "schema_forbidden",
    "The app's role lacks a permission: it needs CREATE on the database, or to own the schema and all in it.",
    false,
  ],
  "42P07": ["schema_unknown", "Objects exist that the migration ledger does not know.", false],
  "42710": ["schema_unknown", "Objects exist that the migration ledger does not know.", false],
  "53300": ["database_busy", "The database has no connection left.", true],
  "55P03": ["migrations_locked", "Another instance is migrating, or holds a lock.", true],
  "57P01": ["database_unreachable", "The database is restarting.", true],
  "57P03": ["database_unreachable", "The database is starting.", true],
};

/** Reads drizzle's journal and the SQL files beside it. */
function readMigrations(folder: string): Migration[] {
  const journal = JSON.parse(readFileSync(join(folder, "meta", "_journal.json"), "utf8")) as {
    entries: { tag: string; when: number }[];
  };
  return journal.entries.map(({ tag, when }) => {
    const sql = readFileSync(join(folder, `${tag}.sql`), "utf8");
    return { tag, when, hash: createHash("sha256").update(sql).digest("hex"), statements: sql.split(BREAKPOINT) };
  });
}

/** Makes schema and ledger where they are missing; returns the `when` of each applied migration, in order. */
async function ledger(client: Client, schema: string): Promise<number[]> {
  const exists = "SELECT to_regnamespace($1) IS NOT NULL AS schema, to_regclass($2) IS NOT NULL AS ledger";
  const quoted = client.escapeIdentifier(schema);
  const table = `${quoted}.${client.escapeIdentifier(LEDGER)}`;
  const found = (await client.query(exists, [quoted, table])).rows[0];
  if (!found.schema) {
    await client.query(`CREATE SCHEMA ${quoted}`);
    console.log(`Created schema ${schema}`);
  }
  if (!found.ledger) {
    await client.query(`CREATE TABLE ${table} (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)`);
    return [];
  }
  const rows = (await client.query(`SELECT created_at FROM ${table} ORDER BY created_at`)).rows;
  return rows.map((row: { created_at: string }) => Number(row.created_at));
}

/** What is to be applied: everything later than the last applied, as drizzle decides it. */
function pendingOf(migrations: Migration[], applied: number[]): Migration[] {
  const last = applied.at(-1) ?? -Infinity;
  const known = new Set(applied);
  const skipped = migrations.find(({ when }) => when <= last && !known.has(when));
  if (skipped) {
    throw new Refused(
      "migration_skipped",
      `Migration ${skipped.tag} is older than the last applied one and would be skipped: compare the release's journal with the ledger.`,
    );
  }
  if (last > (migrations.at(-1)?.when ?? -Infinity)) {
    console.warn("The database is ahead of this release: it holds migrations that the release does not know.");
  }
  return migrations.filter(({ when }) => when > last);
}

async function apply(client: Client, schema: string, migration: Migration): Promise<void> {
  const started = performance.now();
  for (const statement of migration.statements) await client.query(statement);
  const table = `${client.escapeIdentifier(schema)}.${client.escapeIdentifier(LEDGER)}`;
  await client.query(`INSERT INTO ${table} (hash, created_at) VALUES ($1, $2)`, [migration.hash, migration.when]);
  console.log(`Applied ${migration.tag} in ${Math.round(performance.now() - started)} ms`);
}

async function migrate(client: Client, schema: string, migrations: Migration[]): Promise<string[]> {
  await client.query("BEGIN");
  // Everything is named in full; nothing may land in a schema by accident.
  await client.query("SELECT set_config('search_path', '', true), set_config('lock_timeout', $1, true)", [LOCK_WAIT]);
  await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`metamcp-deploy migrate ${schema}`]);
  const pending = pendingOf(migrations, await ledger(client, schema));
  for (const migration of pending) await apply(client, schema, migration);
  await client.query("COMMIT");
  return pending.map(({ tag }) => tag);
}

function problemOf(error: unknown): Problem {
  if (error instanceof Refused) return { ok: false, code: error.code, message: error.message, heals: error.heals };
  const { code, message, severity } = error as { code?: string; message: string; severity?: string };
  const known = code ? KNOWN[code] : undefined;
  if (known) return { ok: false, code: known[0], message: known[1], detail: `${code}: ${message}`, heals: known[2] };
  // The server's own errors have a severity; anything else is about the network, TLS, or getting the password.
  const sql = severity !== undefined && !code?.startsWith("08");
  return {
    ok: false,
    code: sql ? "migration_failed" : "database_unreachable",
    message: sql ? "A migration failed; the database is as it was before." : "The database cannot be reached.",
    detail: code ? `${code}: ${message}` : message,
    heals: !sql,
  };
}

async function main(): Promise<void> {
  const started = performance.now();
  let client: Client | undefined;
  let result: Problem | { ok: true; applied: string[]; seconds: number };
  try {
    const schema = process.env.METAMCP_DB_SCHEMA;
    if (!schema) throw new Refused("schema_missing", "METAMCP_DB_SCHEMA not set.");
    const here = dirname(fileURLToPath(import.meta.url));
    const migrations = readMigrations(join(here, "drizzle"));
    client = new Client({
      host: process.env.PGHOST,
      port: Number(process.env.PGPORT || 5432),
      database: process.env.PGDATABASE,
      user: process.env.PGUSER,
      password: databasePassword,
      ssl: databaseSsl(),
      connectionTimeoutMillis: CONNECT_MS,
      application_name: "metamcp-migrate",
    });
    client.on("error", () => {}); // the query under way rejects with it
    await client.connect();
    const applied = await migrate(client, schema, migrations);
    result = { ok: true, applied, seconds: Number(((performance.now() - started) / 1000).toFixed(3)) };
  } catch (error) {
    result = problemOf(error);
  }
  await client?.end().catch(() => {});
  console.log(JSON.stringify({ migrate: result }));
  process.exitCode = result.ok ? 0 : 1;
}

void main();
