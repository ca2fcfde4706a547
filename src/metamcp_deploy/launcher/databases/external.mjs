// A Postgres of one's own: address and password are in DATABASE_URL. The URL may leave the password to PGPASSWORD.

import { Failure } from "../failure.mjs";

export const settings = [];
export const secrets = ["DATABASE_URL"];

// As databaseSsl() of the overrides takes them: none that may fall back to plain text.
const SSL_MODES = ["disable", "require", "verify-ca", "verify-full"];
// URL parameters that would change where and how a client connects.
const NOT_FOLLOWED = /^(host|hostaddr|port|user|password|dbname|options|ssl(rootcert|cert|key|crl|password))$/;

export function describes(env, { DATABASE_URL }) {
  return Boolean(DATABASE_URL);
}

/** Refuses a URL that asks for something the launcher does not do: a connection other than requested is worse than none. */
export function target(env, { DATABASE_URL: text, PGPASSWORD = "" }) {
  if (!URL.canParse(text)) throw badUrl("is not a URL; postgresql://user:password@host:port/database is expected");
  const url = new URL(text);
  if (!/^postgres(ql)?:$/.test(url.protocol)) throw badUrl("does not begin with postgresql://");
  if (!url.hostname || !url.username || url.pathname.length < 2) throw badUrl("needs a user, a host and a database");
  return {
    PGHOST: url.hostname.replace(/^\[|\]$/g, ""),
    PGPORT: url.port || "5432",
    PGDATABASE: decoded("database", url.pathname.slice(1)),
    PGUSER: decoded("user", url.username),
    PGSSLMODE: sslModeOf(url.searchParams),
    password: decoded("password", url.password) || PGPASSWORD,
  };
}

function badUrl(problem) {
  return new Failure("database", "database_url_invalid", `DATABASE_URL ${problem}.`);
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
