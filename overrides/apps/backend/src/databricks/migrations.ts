// The release's migrations: drizzle's journal, the SQL files beside it, and what they make.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const BREAKPOINT = "--> statement-breakpoint";

export interface Migration {
  tag: string;
  when: number;
  hash: string;
  statements: string[];
}

/** Reads `meta/_journal.json` of a folder and the SQL files beside it. */
export function readMigrations(folder: string): Migration[] {
  const journal = JSON.parse(readFileSync(join(folder, "meta", "_journal.json"), "utf8")) as {
    entries: { tag: string; when: number }[];
  };
  return journal.entries.map(({ tag, when }) => {
    const sql = readFileSync(join(folder, `${tag}.sql`), "utf8");
    return { tag, when, hash: createHash("sha256").update(sql).digest("hex"), statements: sql.split(BREAKPOINT) };
  });
}

/** Names of the tables and types that are there after the migrations. The patches have qualified and quoted them all. */
export function objectsOf(migrations: Migration[]): Set<string> {
  const names = new Set<string>();
  const made = /^\s*(CREATE|DROP) (?:TABLE|TYPE) (?:IF (?:NOT )?EXISTS )?"[^"]+"\."([^"]+)"/gim;
  const renamed = /^\s*ALTER (?:TABLE|TYPE) "[^"]+"\."([^"]+)" RENAME TO "([^"]+)"/gim;
  for (const statement of migrations.flatMap(({ statements }) => statements)) {
    for (const [, verb, name] of statement.matchAll(made)) {
      if (verb.toUpperCase() === "CREATE") names.add(name);
      else names.delete(name);
    }
    for (const [, before, after] of statement.matchAll(renamed)) {
      names.delete(before);
      names.add(after);
    }
  }
  return names;
}
