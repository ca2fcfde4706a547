// Known failures of a start: what their evidence looks like, why they happen, and what ends them. Data, in order: the first
// row that fits is shown. `code` is a failure's code; `text` is looked for in its message, its detail and the last lines.

const DIAGNOSES = [
  {
    code: "schema_unknown",
    cause: "The schema holds objects that the migration ledger does not know: the ledger was lost, or something else made them.",
    fix: "Restore the ledger from a backup or a Lakebase branch, or set database.schema to a schema that does not exist yet.",
  },
  {
    code: "schema_foreign",
    cause: "A person or another app ran the migrations first, so that role owns the objects and this app may not change them.",
    fix: "As that owner, hand the named objects to the app's role with the statements in the message, then start the app again.",
  },
  {
    code: "migration_skipped",
    cause: "A migration of this release is older than one already applied: the database was migrated by a release of another line.",
    fix: "Deploy a release of the line that the database was migrated with, or go back to a Lakebase branch from before.",
  },
  {
    code: "ledger_diverged",
    cause: "The database holds a migration in the middle of this release's own that the release does not know.",
    fix: "Deploy the release that applied it, or go back to a Lakebase branch from before it.",
  },
  {
    code: "ledger_unreadable",
    cause: "The predecessor's ledger, drizzle.__drizzle_migrations, belongs to somebody else, and the app's role may not read it.",
    fix: "As its owner, run the GRANT statements in the message, then start the app again.",
  },
  {
    text: /permission denied for schema public|42501.*\bpublic\b/i,
    cause: "The app's principal may create schemas, but nothing in `public`: this release was not patched for the platform.",
    fix: "metamcp-deploy patch, build and deploy again.",
  },
  {
    text: /permission denied for database/i,
    cause: "The app's database resource does not let it create a schema.",
    fix: "metamcp-deploy bundle-deploy gives the resource CAN_CONNECT_AND_CREATE again.",
  },
  {
    text: /permission denied for (table|sequence)|must be owner of/i,
    cause: "Another role owns objects in the schema; usually a person who ran the migrations first.",
    fix: "Hand the table over: ALTER TABLE … OWNER TO the app's role (its client id), as a role that may; then start the app again.",
  },
  {
    text: /role "[^"]*" does not exist|28000/i,
    cause: "The database has no role for the app's principal.",
    fix: "metamcp-deploy bundle-deploy attaches the database resource, which makes the role.",
  },
  {
    text: /password authentication failed|28P01/i,
    cause: "The database refused the credential: the role is missing, or the credential is for another instance or has ended.",
    fix: "It is renewed and tried again by itself. If that goes on: metamcp-deploy bundle-deploy attaches the database again.",
  },
  {
    text: /no pg_hba\.conf entry .*no encryption/i,
    cause: "The database wants TLS and the connection had none.",
    fix: "Set PGSSLMODE (or sslmode in the database's URL) to require.",
  },
  {
    text: /does not support SSL connections/i,
    cause: "The connection wants TLS and the server has none; Lakebase always has it.",
    fix: "Only for a database on the same machine: sslmode=disable in its URL.",
  },
  {
    text: /self.signed certificate|unable to (get local issuer|verify the first) certificate/i,
    cause: "The certificate of the database or the workspace is signed by an authority that the app does not know.",
    fix: "Set network.ca_bundle to the authority's certificates and deploy again.",
  },
  {
    code: "database_missing",
    cause: "The database was dropped or renamed after the app was deployed.",
    fix: "metamcp-deploy bundle-deploy makes it again.",
  },
  {
    text: /does not exist/i,
    code: "migration_failed",
    cause: "A migration builds on one that never ran.",
    fix: "Compare the release's journal (drizzle/meta/_journal.json) with the ledger in the app's schema.",
  },
  {
    code: "database_unreachable",
    cause: "The database is waking up, restarting, or not reachable from the app.",
    fix: "It is tried again by itself. If that goes on, look whether the Lakebase endpoint is running.",
  },
  {
    code: "database_read_only",
    cause: "The database takes no writes: its disk is nearly full, it is a replica, or it is being moved.",
    fix: "It is tried again by itself. If that goes on, look whether database.endpoint names a read-write endpoint.",
  },
  {
    code: "database_full",
    cause: "The database's disk, or the project's storage limit, is used up.",
    fix: "Raise the limit or delete data. It is tried again by itself.",
  },
  {
    code: "database_busy",
    cause: "The database has no connection or memory left, or another transaction is in the way.",
    fix: "It is tried again by itself. If that goes on, raise database.max_cu, or end what uses it (pg_stat_activity).",
  },
  {
    code: "migrator_broken",
    cause: "The migrator failed before the database had a say: a file of the release, or a setting of the connection.",
    fix: "Read the message; then build again (metamcp-deploy build --clean), or correct the setting, and deploy.",
  },
  {
    code: "unpack_failed",
    cause: "The app's container refuses what unpacking needs: its disk fails, or too many files are open.",
    fix: "It is tried again by itself. If that goes on, stop and start the app.",
  },
  {
    code: "migrations_locked",
    cause: "Another instance of the app is migrating.",
    fix: "It is tried again by itself. If that goes on, end the session that holds the lock (pg_locks, locktype advisory).",
  },
  {
    code: "workspace_unreachable",
    cause: "The workspace does not answer: an outage, or an egress policy that does not allow it.",
    fix: "It is tried again by itself. If that goes on, look at the workspace's status and its egress policy.",
  },
  {
    code: "token_refused",
    cause: "The workspace refused the app's own client id and secret.",
    fix: "Stop and start the app, so that the platform sets them anew.",
  },
  {
    code: "credential_refused",
    cause: "The workspace gives the app no database credential: the endpoint is gone, or the app lost its database resource.",
    fix: "metamcp-deploy bundle-deploy attaches the database again.",
  },
  {
    code: "placeholder",
    cause: "app.yaml is not interpolated: ${...} arrives as those characters.",
    fix: "metamcp-deploy app-deploy sends the values.",
  },
  {
    text: /^(pg(host|database|user)|lakebase_endpoint|client_credentials|better_auth_secret|app_url)_missing$/,
    cause: "The app was deployed without the settings or resources that metamcp-deploy sends with each deployment.",
    fix: "metamcp-deploy deploy, instead of the Deploy button in the workspace.",
  },
  {
    code: "part_altered",
    cause: "A file of the release was changed, or cut off, after it was built.",
    fix: "metamcp-deploy bundle-deploy sends it again.",
  },
  {
    code: "disk_full",
    cause: "The app's temporary folder has no space left.",
    fix: "It is tried again by itself. If that goes on, stop and start the app, which empties it, and see which MCP server fills it.",
  },
  {
    code: "migrate_silent",
    cause: "A migration waits for a lock that something else holds, or the connection to the database died silently.",
    fix: "It is tried again by itself. If that goes on, end the session that blocks it (pg_blocking_pids).",
  },
  {
    text: /JavaScript heap out of memory|SIGKILL/,
    cause: "The service ran out of memory.",
    fix: "Set app.compute_size to LARGE, or have fewer MCP servers and sessions.",
  },
  {
    text: /EADDRINUSE/,
    cause: "Another program in the app's container took the service's port.",
    fix: "It is started again on another port by itself.",
  },
];

/** The row that fits a failure {code, message, detail} and the last `lines` of its step: {cause, fix}, or null. */
export function diagnose({ code, message, detail = "" }, lines = []) {
  const said = [code, message, detail, ...lines].join("\n").split("\n");
  const fits = (row) => (!row.code || row.code === code) && (!row.text || said.some((line) => row.text.test(line)));
  const found = DIAGNOSES.find(fits);
  return found ? { cause: found.cause, fix: found.fix } : null;
}
