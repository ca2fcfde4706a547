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

/** Whatever was thrown, as the result that the launcher reads. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) {
    return { ok: false, code: error.code, message: error.message, detail: error.detail, heals: false };
  }
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
