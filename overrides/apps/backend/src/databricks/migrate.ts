// Brings the app's schema up to the release's migrations. Started by the launcher, once per start, before the backend.
//
// It keeps the ledger that drizzle's migrator keeps (same table, same columns, same rule of what is applied), inside the
// app's schema. It does not call that migrator, because that one creates the schema with IF NOT EXISTS, which needs CREATE
// on the database even when the schema is there, and skips a migration silently when its `when` is below the last applied.
//
// All of it is one transaction: a start that fails leaves the database as it was, so the release before goes on working.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { Client } from "pg";

import { databasePassword, databaseSsl } from "./database-password";
import { adopt, create, tableOf } from "./ledger";
import { type Migration, readMigrations } from "./migrations";
import { plan } from "./plan";
import { type Problem, type Stage, Refused, problemOf } from "./refused";

const CONNECT_MS = 15_000;
const KEEPALIVE_MS = 30_000;
const LOCK_WAIT = "60s";

async function apply(client: Client, schema: string, migration: Migration): Promise<void> {
  const started = performance.now();
  for (const statement of migration.statements) await client.query(statement);
  const insert = `INSERT INTO ${tableOf(client, schema)} (hash, created_at) VALUES ($1, $2)`;
  await client.query(insert, [migration.hash, migration.when]);
  console.log(`Applied ${migration.tag} in ${Math.round(performance.now() - started)} ms`);
}

/** One at a time, across all instances; the lock ends with the transaction. */
async function lock(client: Client, schema: string): Promise<void> {
  const key = [`metamcp-deploy migrate ${schema}`];
  const taken = await client.query("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS got", key);
  if (taken.rows[0].got) return;
  console.log(`Another instance is migrating; waiting for up to ${LOCK_WAIT}`);
  await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key);
}

async function migrate(client: Client, schema: string, migrations: Migration[]): Promise<string[]> {
  // Else a statement whose migrator was killed goes on to its end, and its locks keep the next start waiting. A server on a
  // system that cannot look for that refuses the setting.
  await client.query("SET client_connection_check_interval = '2s'").catch(() => {});
  await client.query("BEGIN");
  // Everything is named in full; nothing may land in a schema by accident.
  await client.query("SELECT set_config('search_path', '', true), set_config('lock_timeout', $1, true)", [LOCK_WAIT]);
  await lock(client, schema);
  const todo = await plan(client, schema, migrations);
  todo.notes.forEach((note) => console.warn(note));
  if (todo.schema) {
    await client.query(`CREATE SCHEMA ${client.escapeIdentifier(schema)}`);
    console.log(`Created schema ${schema}`);
  }
  if (todo.ledger) await create(client, schema);
  if (todo.adopt) {
    await adopt(client, schema);
    console.log("Took over the migration ledger that was in the schema drizzle");
  }
  for (const migration of todo.pending) await apply(client, schema, migration);
  await client.query("COMMIT");
  return todo.pending.map(({ tag }) => tag);
}

async function main(): Promise<void> {
  const started = performance.now();
  let client: Client | undefined;
  let stage: Stage = "prepare";
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
      keepAlive: true, // a server that vanished is noticed also while a statement is waited for
      keepAliveInitialDelayMillis: KEEPALIVE_MS,
      application_name: "metamcp-migrate",
    });
    client.on("error", () => {}); // the query under way rejects with it
    stage = "connect";
    await client.connect();
    stage = "migrate";
    const applied = await migrate(client, schema, migrations);
    result = { ok: true, applied, seconds: Number(((performance.now() - started) / 1000).toFixed(3)) };
  } catch (error) {
    result = problemOf(error, stage);
  }
  await client?.end().catch(() => {});
  console.log(JSON.stringify({ migrate: result }));
  process.exitCode = result.ok ? 0 : 1;
}

void main();
