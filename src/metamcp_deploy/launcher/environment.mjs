// The environment: which of its values may be logged, the settings read from it, and the part that services get.

import { SETTINGS } from "./databases/kinds.mjs";
import { Failure } from "./failure.mjs";

// Names whose values may be logged; SETTINGS may be, too.
const PRINTABLE =
  /^(PG(APPNAME|DATABASE|HOST|PORT|SSLMODE|SSLROOTCERT|USER)|DATABRICKS_(APP_(NAME|PORT)|HOST|WORKSPACE_ID|CLIENT_ID)|APP_URL|METAMCP_(ALLOW_INSTANCES|APP_ENV|CHILD_ENV|COMPUTE_SIZE|CONTACT|DATABASE_CLIENT_ID|INSPECTOR|OPERATORS|SECRET_ENV|SESSION_IDLE|SIGN_UP)|TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL|LOG_LEVEL|NODE_(ENV|EXTRA_CA_CERTS)|PATH|HOME|TMPDIR|LANG|LC_ALL|TZ|PWD|USER)$/;

// What programs in general need, MCP servers included (upstream hands them HOME, PATH and the like, and proxies).
const PASSED =
  /^(PATH|HOME|USER|LOGNAME|SHELL|TERM|TMPDIR|LANG|LC_[A-Z]+|TZ|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|XDG_[A-Z_]+)$/;

function isPrintable(name) {
  return PRINTABLE.test(name) || SETTINGS.includes(name);
}

/** Names of the settings for the services that the deploy call sends. */
function settingNames(env) {
  return (env.METAMCP_APP_ENV ?? "").split(",").map((name) => name.trim());
}

/** Whether the launcher or a service needs a variable. Other variables of the platform may be secrets. */
export function isKnown(name, env) {
  return isPrintable(name) || PASSED.test(name) || settingNames(env).includes(name);
}

/**
 * The environment as log lines, masked. `secrets` (with values) and `withheld` (names only) were removed from `env`
 * before.
 */
export function describe(env, secrets, withheld) {
  const comesBy = secrets.DATABASE_URL ? () => "in-DATABASE_URL" : (name) => (name === "PGPASSWORD" ? "comes-with-the-credential" : "missing");
  const status = (name) => (name in secrets || env[name] ? "set" : comesBy(name));
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
  if (!isPrintable(name) || env[name] === undefined) return "(set)";
  return JSON.stringify(env[name].replace(/\/\/[^/@\s]*@/, "//********@"));
}

/** The workspace's origin, "" without one; the platform sets it with or without the scheme. */
export function workspaceHost(env) {
  const host = (env.DATABRICKS_HOST ?? "").trim();
  const url = host.includes("://") ? host : `https://${host}`;
  return host && URL.canParse(url) ? new URL(url).origin : "";
}

/** The port that the platform assigns: DATABRICKS_APP_PORT, or its default. */
export function platformPort(env) {
  const text = env.DATABRICKS_APP_PORT || "8000";
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Error(`DATABRICKS_APP_PORT is ${JSON.stringify(text)}, not a port`);
  return port;
}

/** The address to bind: all interfaces, as the platform requires, or the loopback below an embedded workspace. */
export function bindAddress(env) {
  const embedded = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(\/|$)/.test(env.DATABRICKS_HOST ?? "");
  return embedded ? "127.0.0.1" : "0.0.0.0";
}

/** Checks the settings that upstream cannot start without: without them it would hang silently. */
export function requireSettings(env, secrets) {
  for (const [name, value] of [["APP_URL", env.APP_URL], ["BETTER_AUTH_SECRET", secrets.BETTER_AUTH_SECRET]]) {
    if (value?.startsWith("${")) {
      const why = `${name} is the literal text of a placeholder: app.yaml does not expand it`;
      throw new Failure("environment", "placeholder", `${why}. Deploy with metamcp-deploy, which sends the value.`);
    }
  }
  if (secrets.BETTER_AUTH_SECRET !== undefined && !secrets.BETTER_AUTH_SECRET.trim()) {
    throw new Failure("environment", "better_auth_secret_empty", "BETTER_AUTH_SECRET is empty: the key of the secret scope holds no value.");
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

/** A service's environment: common variables, the settings that the deploy call lists, and `own`; no secrets. */
export function serviceEnvironment(env, secrets, own) {
  const settings = new Set([...settingNames(env), "TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL"]);
  const passed = Object.entries(env).filter(([name]) => PASSED.test(name) || settings.has(name));
  return { NODE_ENV: "production", ...Object.fromEntries(passed.filter(([name]) => !(name in secrets))), ...own };
}

/**
 * Further variables of the backend. Upstream's bootstrap enables sign-up again at every start unless it is disabled. Here
 * the launcher controls sign-up, and single sign-on keeps its setting from the UI.
 */
export function backendExtras(env, secrets) {
  const extras = { METAMCP_CHILD_ENV: env.METAMCP_CHILD_ENV ?? "" };
  const asked = [...settingNames(env), ...Object.keys(secrets)].filter((name) => name.startsWith("BOOTSTRAP_"));
  if (!asked.length) extras.BOOTSTRAP_ENABLE = "false";
  if (env.METAMCP_SIGN_UP === "closed") extras.BOOTSTRAP_DISABLE_REGISTRATION_UI = "true";
  return extras;
}
