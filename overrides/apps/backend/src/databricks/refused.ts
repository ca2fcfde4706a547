// A migration that is not attempted, or failed: a code for programs, a message that says what to do.

export interface Problem {
  ok: false;
  code: string;
  message: string;
  detail?: string;
  heals: boolean;
}

export class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly detail?: string,
  ) {
    super(message);
  }
}

/** How far the migrator came: what an error says depends on whom it comes from. */
export type Stage = "prepare" | "connect" | "migrate";

type Meaning = [code: string, message: string, heals: boolean];

// SQLSTATE → what a person reads, and whether trying again can help.
const KNOWN: Record<string, Meaning> = {
  "28P01": ["login_refused", "The database refused the app's credential.", true],
  "28000": ["login_refused", "The database has no role for the app: attach the database resource to it.", true],
  "3D000": ["database_missing", "The database does not exist: deploy the bundle again.", true],
  "25006": ["database_read_only", "The database takes no writes at the moment.", true],
  "42501": [
    "schema_forbidden",
    "The app's role lacks a permission: it needs CREATE on the database, or to own the schema and all in it.",
    false,
  ],
  "42P07": ["schema_unknown", "Objects exist that the migration ledger does not know.", false],
  "42710": ["schema_unknown", "Objects exist that the migration ledger does not know.", false],
  "53100": ["database_full", "The database's disk is full.", true],
  "53300": ["database_busy", "The database has no connection left.", true],
  "55P03": ["migrations_locked", "Another instance is migrating, or holds a lock.", true],
  "57014": ["database_busy", "The database cancelled the migration; it is as it was before.", true],
  "57P03": ["database_unreachable", "The database is starting.", true],
};

// The same by class (the first two characters): what says nothing about the statement. Source: PostgreSQL, appendix A.
const CLASSES: Record<string, Meaning> = {
  "08": ["database_unreachable", "The connection to the database was lost.", true],
  "40": ["database_busy", "Another transaction was in the way; the database is as it was before.", true],
  "53": ["database_busy", "The database lacks memory or another resource.", true],
  "57": ["database_unreachable", "The database is restarting, or ended the session.", true],
  "58": ["database_unreachable", "The database's own system failed.", true],
};

const UNREACHABLE: Meaning = ["database_unreachable", "The database cannot be reached.", true];
const FAILED: Meaning = ["migration_failed", "A migration failed; the database is as it was before.", false];
const BROKEN: Meaning = ["migrator_broken", "The migrator itself failed: a setting is wrong, or the release is damaged.", false];

/** Whatever was thrown, as the result that the launcher reads. */
export function problemOf(error: unknown, stage: Stage): Problem {
  if (error instanceof Refused) {
    return { ok: false, code: error.code, message: error.message, detail: error.detail, heals: false };
  }
  const { code: state, message } = error as { code?: string; message: string };
  const [code, text, heals] = meaningOf(error, stage);
  return { ok: false, code, message: text, detail: state ? `${state}: ${message}` : message, heals };
}

function meaningOf(error: unknown, stage: Stage): Meaning {
  const { code = "", severity } = error as { code?: string; severity?: string };
  // Before the database is asked, nothing can come from it or from the network.
  if (stage === "prepare" || isBug(error)) return BROKEN;
  const said = severity === undefined ? undefined : (KNOWN[code] ?? CLASSES[code.slice(0, 2)]);
  if (said) return said;
  // Proxies in front of a database report by any state what is about the moment: Lakebase's, XX000 while compute wakes up.
  return stage === "connect" || severity === undefined ? UNREACHABLE : FAILED;
}

/** An error of the language, which neither the database nor the network raises. */
function isBug(error: unknown): boolean {
  return [TypeError, SyntaxError, ReferenceError, RangeError].some((kind) => error instanceof kind);
}
