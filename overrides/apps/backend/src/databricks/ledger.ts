// What the database says about itself before anything is applied: which migrations it has, whose its objects are.

import type { Client } from "pg";

import { Refused } from "./refused";

export const LEDGER = "__drizzle_migrations";
// Where drizzle keeps its ledger unless told otherwise, and where deployments before this tool left it.
const OLD_SCHEMA = "drizzle";

/** A table or an enum; a `usable` table can be read and written by the app. */
export interface Thing {
  schema: string;
  kind: "TABLE" | "TYPE";
  name: string;
  owner: string;
  mine: boolean;
  usable: boolean;
}

export interface Found {
  /** The schema's owner; null when there is no schema. */
  owner: string | null;
  mayCreate: boolean;
  objects: Thing[];
  role: string;
}

const SCHEMA = `SELECT pg_get_userbyid(nspowner) AS owner, has_schema_privilege(oid, 'CREATE') AS may_create
  FROM pg_namespace WHERE nspname = $1`;

// Enums and tables; an index or a table's row type belongs to the table's owner anyway.
const OBJECTS = `SELECT * FROM (SELECT n.nspname AS schema, 'TABLE' AS kind, c.relname AS name, pg_get_userbyid(c.relowner) AS owner,
    pg_has_role(current_user, c.relowner, 'USAGE') AS mine,
    has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
      AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AS usable
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')
  UNION ALL
  SELECT n.nspname, 'TYPE', t.typname, pg_get_userbyid(t.typowner), pg_has_role(current_user, t.typowner, 'USAGE'), true
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e') AS things`;

/** Looks at the schema. Catalogues only: they can be read whatever else is forbidden. */
export async function look(client: Client, schema: string): Promise<Found> {
  const [found] = (await client.query(SCHEMA, [schema])).rows;
  const role: string = (await client.query("SELECT current_user AS role")).rows[0].role;
  if (!found) return { owner: null, mayCreate: false, objects: [], role };
  const objects: Thing[] = (await client.query(`${OBJECTS} WHERE schema = $1 ORDER BY name`, [schema])).rows;
  return { owner: found.owner, mayCreate: found.may_create, objects, role };
}

/** Tables and types of these names in other schemas: by schema, where it holds more than half of them. */
export async function elsewhere(client: Client, schema: string, known: Set<string>): Promise<Thing[][]> {
  const question = `${OBJECTS} WHERE schema <> $1 AND name = ANY($2) ORDER BY schema, kind DESC, name`;
  const things: Thing[] = (await client.query(question, [schema, [...known]])).rows;
  const schemas = [...new Set(things.map((thing) => thing.schema))];
  return schemas.map((one) => things.filter((thing) => thing.schema === one)).filter(({ length }) => length > known.size / 2);
}

/** What another deployment has, which the app goes on without, and the statements that bring it here. */
export function passedOver(client: Client, schema: string, role: string, things: Thing[]): string {
  const [to, me, from] = [schema, role, things[0].schema].map((name) => client.escapeIdentifier(name));
  const moves = things.map(({ kind, name }) => `ALTER ${kind} ${from}.${client.escapeIdentifier(name)} SET SCHEMA ${to};`);
  const owners = [...new Set(things.map(({ owner }) => owner))].join(" and ");
  return (
    `The schema ${things[0].schema} holds MetaMCP's tables, too, those of another deployment (owner: ${owners}). They stay ` +
    `as they are, and this app begins empty in ${schema}. To go on with them instead, stop the app, then as a role that may: ` +
    `DROP SCHEMA IF EXISTS ${to} CASCADE; CREATE SCHEMA ${to} AUTHORIZATION ${me}; ${moves.join(" ")} Start it again: it tells ` +
    "what else it needs."
  );
}

export function tableOf(client: Client, schema: string): string {
  return `${client.escapeIdentifier(schema)}.${client.escapeIdentifier(LEDGER)}`;
}

/** The `when` of each migration that a ledger holds, in order. */
async function whens(client: Client, table: string): Promise<number[]> {
  const { rows } = await client.query(`SELECT created_at FROM ${table} ORDER BY created_at`);
  return rows.map((row: { created_at: string }) => Number(row.created_at));
}

/** The app's own ledger; empty when it is not there. */
export async function applied(client: Client, schema: string, found: Found): Promise<number[]> {
  const one = found.objects.find(({ name }) => name === LEDGER);
  if (!one) return [];
  if (!one.usable) throw foreign(client, schema, found, [one]);
  return whens(client, tableOf(client, schema));
}

/**
 * The ledger that a deployment before this tool left in the schema `drizzle`; empty when there is none.
 *
 * @throws Refused when it is there and cannot be read.
 */
export async function left(client: Client, role: string): Promise<number[]> {
  const question = `SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`;
  const [found] = (await client.query(question, [OLD_SCHEMA, LEDGER])).rows;
  if (!found) return [];
  if (!found.readable) {
    const to = client.escapeIdentifier(role);
    const grants = `GRANT USAGE ON SCHEMA ${OLD_SCHEMA} TO ${to}; GRANT SELECT ON ${OLD_SCHEMA}.${LEDGER} TO ${to};`;
    throw new Refused(
      "ledger_unreadable",
      `The migration ledger is in the schema ${OLD_SCHEMA}, which the app's role may not read. As its owner: ${grants}`,
    );
  }
  return whens(client, tableOf(client, OLD_SCHEMA));
}

/** Takes over the rows of the ledger in `drizzle`, which stays as it is. */
export async function adopt(client: Client, schema: string): Promise<void> {
  const [to, from] = [tableOf(client, schema), tableOf(client, OLD_SCHEMA)];
  await client.query(`INSERT INTO ${to} (hash, created_at) SELECT hash, created_at FROM ${from} ORDER BY created_at`);
}

export async function create(client: Client, schema: string): Promise<void> {
  const table = tableOf(client, schema);
  await client.query(`CREATE TABLE ${table} (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)`);
}

/** The error for objects that belong to somebody else, with the statements that hand over these and nothing else. */
export function foreign(client: Client, schema: string, found: Found, objects: Thing[]): Refused {
  const owners = [...new Set(objects.map(({ owner }) => owner))];
  const [to, of] = [found.role, schema].map((name) => client.escapeIdentifier(name));
  const hand = objects
    .map(({ kind, name }) => `ALTER ${kind} ${of}.${client.escapeIdentifier(name)} OWNER TO ${to};`)
    .join(" ");
  const named = objects.map(({ name, owner }) => `${name} (${owner})`).join(", ");
  return new Refused(
    "schema_foreign",
    `Objects of the schema ${schema} belong to ${owners.join(" and ")}, not to the app's role ${found.role}, which has to ` +
      `change them. Somebody migrated as themselves. As a role that may: ${hand}`,
    named,
  );
}
