// What there is to do, or why nothing may be done: decided from journal and database before anything is applied.

import type { Client } from "pg";

import { type Found, LEDGER, type Thing, applied, elsewhere, foreign, left, look, passedOver } from "./ledger";
import { type Migration, objectsOf } from "./migrations";
import { Refused } from "./refused";

export interface Plan {
  /** Whether the schema, and the ledger in it, have to be made. */
  schema: boolean;
  ledger: boolean;
  /** Whether the ledger that was left in `drizzle` is taken over. */
  adopt: boolean;
  pending: Migration[];
  notes: string[];
}

export async function plan(client: Client, schema: string, migrations: Migration[]): Promise<Plan> {
  const found = await look(client, schema);
  const known = objectsOf(migrations);
  if (found.owner === null) {
    const others = await elsewhere(client, schema, known);
    const notes = others.map((things) => passedOver(client, schema, found.role, things));
    return { schema: true, ledger: true, adopt: false, pending: migrations, notes };
  }
  const own = await applied(client, schema, found);
  const there = found.objects.filter(({ name }) => known.has(name));
  // Objects without a ledger: the predecessor's is looked for. Without objects of ours a ledger elsewhere is not ours.
  const old = own.length === 0 && there.length > 0 ? await left(client, found.role) : [];
  if (own.length === 0 && there.length > 0) checkAdoption(schema, migrations, old, found);
  const done = own.length ? own : old;
  const { pending, notes } = compare(migrations, done);
  const made: Plan = {
    schema: false,
    ledger: !found.objects.some(({ name }) => name === LEDGER),
    adopt: old.length > 0,
    pending,
    notes,
  };
  return { ...made, notes: [...notes, ...checkOwners(client, schema, found, there, made)] };
}

/** The ledger left in `drizzle` must be that of the objects in the app's schema. */
function checkAdoption(schema: string, migrations: Migration[], old: number[], found: Found): void {
  const names = new Set(found.objects.map(({ name }) => name));
  const missing = [...objectsOf(migrations.filter(({ when }) => old.includes(when)))].filter((name) => !names.has(name));
  if (old.length && !missing.length) return;
  const why = old.length
    ? `, and the ledger in the schema drizzle is of other objects: of what it names, ${missing.join(", ")} is not there`
    : "";
  throw new Refused(
    "schema_unknown",
    `The schema ${schema} holds objects of MetaMCP and no ledger says which migrations made them${why}. Restore the ` +
      `ledger ${schema}.${LEDGER} from a backup or a Lakebase branch, or set database.schema to a new one.`,
    found.objects.map(({ name }) => name).join(", "),
  );
}

/** What is to be applied: everything later than the last applied, as drizzle decides it. */
function compare(migrations: Migration[], done: number[]): { pending: Migration[]; notes: string[] } {
  const last = done.at(-1) ?? -Infinity;
  const newest = migrations.at(-1)?.when ?? -Infinity;
  const ours = new Set(migrations.map(({ when }) => when));
  const skipped = migrations.filter(({ when }) => when <= last && !done.includes(when));
  if (skipped.length) {
    throw new Refused(
      "migration_skipped",
      `${skipped.map(({ tag }) => tag).join(", ")} of this release is not applied, and would be skipped: the database ` +
        `already holds a later migration (${date(last)}). It was migrated by a release of another line: deploy that one, ` +
        "or go back to a Lakebase branch from before it.",
    );
  }
  const unknown = done.filter((when) => !ours.has(when));
  const between = unknown.filter((when) => when < newest);
  if (between.length) {
    throw new Refused(
      "ledger_diverged",
      `The database holds migrations that this release does not know, older than its newest (${between.map(date).join(", ")}): ` +
        "it was migrated by a release of another line. Deploy that one, or go back to a Lakebase branch from before it.",
    );
  }
  const notes: string[] = [];
  if (unknown.length) {
    // Not refused: that is what a rollback looks like, and upstream's migrations add rather than take away.
    notes.push(
      `The database is ahead of this release by ${unknown.length} (${unknown.map(date).join(", ")}): they stay, and the ` +
        "release runs on them. If something is missing, deploy the newer release again, or go back to a Lakebase branch " +
        "from before it.",
    );
  }
  return { pending: migrations.filter(({ when }) => when > last), notes };
}

/** Objects of somebody else: refused when they have to be changed or cannot be used, else only told. */
function checkOwners(client: Client, schema: string, found: Found, there: Thing[], todo: Plan): string[] {
  const others = found.objects.filter(({ name, mine }) => !mine && (name === LEDGER || there.some((one) => one.name === name)));
  const changes = todo.pending.length > 0 || todo.adopt;
  if (changes && others.length) throw foreign(client, schema, found, others);
  const unusable = others.filter(({ usable }) => !usable);
  if (unusable.length) throw foreign(client, schema, found, unusable);
  if ((changes || todo.ledger) && !found.mayCreate) {
    const [name, to] = [client.escapeIdentifier(schema), client.escapeIdentifier(found.role)];
    throw new Refused(
      "schema_forbidden",
      `The schema ${schema} belongs to ${found.owner}, and the app's role may create nothing in it. As its owner: ` +
        `ALTER SCHEMA ${name} OWNER TO ${to};`,
    );
  }
  if (!others.length) return [];
  const named = others.map(({ name, owner }) => `${name} (${owner})`).join(", ");
  return [`Objects of the schema belong to others; the next migration will need them: ${named}`];
}

function date(when: number): string {
  return new Date(when).toISOString().slice(0, 10);
}
