// What the environment says: what may be printed of it, where the database is, what the services get to see.

import { Failure } from "./failure.mjs";

// Names whose values may stand in a log.
const PRINTABLE =
  /^(PG(APPNAME|DATABASE|HOST|PORT|SSLMODE|SSLROOTCERT|USER)|DATABRICKS_(APP_(NAME|PORT)|HOST|WORKSPACE_ID|CLIENT_ID)|LAKEBASE_(ENDPOINT|INSTANCE_NAME)|APP_URL|METAMCP_(ALLOW_INSTANCES|APP_ENV|CHILD_ENV|COMPUTE_SIZE|CONTACT|DATABASE_CLIENT_ID|INSPECTOR|OPERATORS|SECRET_ENV|SIGN_UP)|TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL|LOG_LEVEL|NODE_(ENV|EXTRA_CA_CERTS)|PATH|HOME|TMPDIR|LANG|LC_ALL|TZ|PWD|USER)$/;

// What programs in general need, MCP servers included (upstream hands them HOME, PATH and the like, and proxies).
const PASSED =
  /^(PATH|HOME|USER|LOGNAME|SHELL|TERM|TMPDIR|LANG|LC_[A-Z]+|TZ|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|XDG_[A-Z_]+)$/;

// As databaseSsl() of the overrides takes them: none that may fall back to plain text.
const SSL_MODES = ["disable", "require", "verify-ca", "verify-full"];
// Parameters of a database's URL that would change where and how one connects.
const NOT_FOLLOWED = /^(host|hostaddr|port|user|password|dbname|options|ssl(rootcert|cert|key|crl|password))$/;

/** Names of the settings that the deploy call sends for the services. */
function settingNames(env) {
  return (env.METAMCP_APP_ENV ?? "").split(",").map((name) => name.trim());
}

/** Whether a name is one that the launcher or a service needs. What the platform adds beyond that may be a secret. */
export function isKnown(name, env) {
  return PRINTABLE.test(name) || PASSED.test(name) || settingNames(env).includes(name);
}

/**
 * The environment on a few lines that can be pasted into a ticket. `secrets` were taken out of it, and so were the names
 * in `withheld`, without a trace of their values.
 */
export function describe(env, secrets, withheld) {
  const status = (name) => (name in secrets || env[name] ? "set" : "missing");
  const pg = ["PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSSLMODE", "PGPASSWORD"];
  const all = [...Object.keys({ ...env, ...secrets }), ...withheld].sort();
  const shown = all.map((name) => `${name}=${display(name, env, secrets)}`);
  return [
    `PG env status: ${pg.map((name) => `${name}=${status(name)}`).join(" ")}`,
    `Databricks env keys: ${all.filter((name) => name.startsWith("DATABRICKS_")).join(", ") || "none"}`,
    `Environment: ${shown.join(" ")}`,
  ];
}

function display(name, env, secrets) {
  if (name in secrets) return "********";
  if (!PRINTABLE.test(name) || env[name] === undefined) return "(set)";
  return JSON.stringify(env[name].replace(/\/\/[^/@\s]*@/, "//********@"));
}

/** The workspace's origin, "" when there is none; the platform gives it with or without the scheme. */
export function workspaceHost(env) {
  const host = (env.DATABRICKS_HOST ?? "").trim();
  const url = host.includes("://") ? host : `https://${host}`;
  return host && URL.canParse(url) ? new URL(url).origin : "";
}

/** Where to listen: everywhere, as the platform wants it, except below an embedded workspace on this machine. */
export function bindAddress(env) {
  const embedded = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(\/|$)/.test(env.DATABRICKS_HOST ?? "");
  return embedded ? "127.0.0.1" : "0.0.0.0";
}

/** Whether there is a Lakebase database, and nothing says which one its credential is for. */
export function needsLakebase(env, secrets) {
  const known = secrets.DATABASE_URL || secrets.PGPASSWORD || env.LAKEBASE_ENDPOINT || env.LAKEBASE_INSTANCE_NAME;
  return Boolean(env.PGHOST && !known);
}

/**
 * Where the database is and how its password is got: {kind, PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE, endpoint?,
 * instance?, password?}. `kind` is autoscaling, provisioned, external (a DATABASE_URL) or password.
 */
export function database(env, secrets) {
  if (secrets.DATABASE_URL) return external(secrets.DATABASE_URL, secrets.PGPASSWORD);
  const fields = {
    PGHOST: env.PGHOST,
    PGPORT: env.PGPORT || "5432",
    PGDATABASE: env.PGDATABASE,
    PGUSER: env.METAMCP_DATABASE_CLIENT_ID || env.PGUSER,
    PGSSLMODE: env.PGSSLMODE || "require",
  };
  for (const name of ["PGHOST", "PGDATABASE", "PGUSER"]) {
    if (!fields[name]) {
      const by = "the app's resource `database` injects it: deploy the bundle again, so that the app has that resource";
      throw new Failure("database", `${name.toLowerCase()}_missing`, `${name} not set; ${by}.`);
    }
  }
  if (secrets.PGPASSWORD) return { kind: "password", ...fields, password: secrets.PGPASSWORD };
  if (env.LAKEBASE_ENDPOINT) return { kind: "autoscaling", ...fields, endpoint: env.LAKEBASE_ENDPOINT };
  if (env.LAKEBASE_INSTANCE_NAME) return { kind: "provisioned", ...fields, instance: env.LAKEBASE_INSTANCE_NAME };
  throw new Failure(
    "database",
    "lakebase_endpoint_missing",
    "LAKEBASE_ENDPOINT not set, and the workspace does not tell the app's resource `database`: deploy with " +
      "metamcp-deploy, not with the button in the workspace.",
  );
}

/**
 * A URL may leave its password out, for PGPASSWORD. What it says and nobody would follow is refused: a connection that is
 * not what it asks for is worse than none.
 */
function external(text, password = "") {
  if (!URL.canParse(text)) throw badUrl("is not a URL; postgresql://user:password@host:port/database is expected");
  const url = new URL(text);
  if (!/^postgres(ql)?:$/.test(url.protocol)) throw badUrl("does not begin with postgresql://");
  if (!url.hostname || !url.username || url.pathname.length < 2) throw badUrl("needs a user, a host and a database");
  return {
    kind: "external",
    PGHOST: url.hostname.replace(/^\[|\]$/g, ""),
    PGPORT: url.port || "5432",
    PGDATABASE: decoded("database", url.pathname.slice(1)),
    PGUSER: decoded("user", url.username),
    PGSSLMODE: sslModeOf(url.searchParams),
    password: decoded("password", url.password) || password,
  };
}

function badUrl(what) {
  return new Failure("database", "database_url_invalid", `DATABASE_URL ${what}.`);
}

function decoded(part, text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badUrl(`has a % in its ${part} that begins no code: write it as %25`);
  }
}

function sslModeOf(parameters) {
  const usual = (name) => name === "sslrootcert" && parameters.get(name) === "system";
  const odd = [...new Set(parameters.keys())].filter((name) => NOT_FOLLOWED.test(name) && !usual(name));
  if (odd.length) {
    throw badUrl(`has parameters that are not followed: ${odd.join(", ")}. Take them out; an authority of one's own goes into network.ca_bundle`);
  }
  const mode = parameters.get("sslmode") ?? "require";
  if (SSL_MODES.includes(mode)) return mode;
  throw badUrl(`has sslmode=${mode}; disable, require, verify-ca or verify-full is expected`);
}

/** Settings that upstream cannot start without, checked here because its own failure would leave a silent process. */
export function requireSettings(env, secrets) {
  for (const [name, value] of [["APP_URL", env.APP_URL], ["BETTER_AUTH_SECRET", secrets.BETTER_AUTH_SECRET]]) {
    if (value?.startsWith("${")) {
      const why = `${name} is the literal text of a placeholder: app.yaml does not expand it`;
      throw new Failure("environment", "placeholder", `${why}. Deploy with metamcp-deploy, which sends the value.`);
    }
  }
  if (!secrets.BETTER_AUTH_SECRET) {
    throw new Failure(
      "environment",
      "better_auth_secret_missing",
      "BETTER_AUTH_SECRET not set; the deploy call sets it from the app's resource `better-auth-secret`: deploy with " +
        "metamcp-deploy.",
    );
  }
}

/** What a service gets to see: common names, the settings that the deploy call lists, and `own`. Never a secret. */
export function serviceEnvironment(env, secrets, own) {
  const settings = new Set([...settingNames(env), "TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL"]);
  const passed = Object.entries(env).filter(([name]) => PASSED.test(name) || settings.has(name));
  return { NODE_ENV: "production", ...Object.fromEntries(passed.filter(([name]) => !(name in secrets))), ...own };
}

/**
 * What the backend gets besides. Upstream's main opens sign-up again at every start unless its bootstrap is off or told not
 * to; who may sign up is the launcher's business here, and single sign-on keeps the setting that somebody gave it in the UI.
 */
export function backendExtras(env, secrets) {
  const extras = { METAMCP_CHILD_ENV: env.METAMCP_CHILD_ENV ?? "" };
  const asked = [...settingNames(env), ...Object.keys(secrets)].filter((name) => name.startsWith("BOOTSTRAP_"));
  if (!asked.length) extras.BOOTSTRAP_ENABLE = "false";
  if (env.METAMCP_SIGN_UP === "closed") extras.BOOTSTRAP_DISABLE_REGISTRATION_UI = "true";
  return extras;
}
