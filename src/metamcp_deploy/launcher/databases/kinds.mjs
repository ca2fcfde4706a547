// The kinds of database, one module each. A new kind is a new file and one line in KINDS; nothing else depends on the kind.
//
// A kind's module exports:
//   settings           names in the environment that belong to it; they may be logged
//   secrets            names of its secrets
//   describes          (env, secrets) → whether the environment describes such a database
//   target             (env, secrets) → {PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE, ...}; with `password` if that is fixed
//   credentialRequest  (target) → {path, body} of the API call that creates a password; only where `target` gives none
//   fromResource       (one of the app's resources) → its `settings` and their values, or null; only where a resource has them

import { Failure } from "../failure.mjs";
import * as autoscaling from "./autoscaling.mjs";
import * as external from "./external.mjs";
import { injectedAddress } from "./injected.mjs";
import * as password from "./password.mjs";
import * as provisioned from "./provisioned.mjs";

// The first that describes the environment counts.
const KINDS = { external, password, autoscaling, provisioned };

const all = Object.values(KINDS);
export const SETTINGS = all.flatMap((kind) => kind.settings);
export const SECRETS = all.flatMap((kind) => kind.secrets);
export const FROM_RESOURCES = all.filter((kind) => kind.fromResource).flatMap((kind) => kind.settings);

function recognised(env, secrets) {
  return Object.keys(KINDS).find((kind) => KINDS[kind].describes(env, secrets));
}

/** Whether the platform injected a database's address, and the setting that says how to get its password is missing. */
export function isIncomplete(env, secrets) {
  return Boolean(env.PGHOST && !recognised(env, secrets));
}

/** The settings that the app's resources stand for; {} when none is a database. */
export function settingsFrom(resources) {
  for (const resource of resources) {
    for (const kind of all) {
      const settings = kind.fromResource?.(resource);
      if (settings) return settings;
    }
  }
  return {};
}

/**
 * The app's database: {kind, PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE, ...}, as its kind's `target` gives it.
 * Throws a Failure that names the missing or invalid setting.
 */
export function databaseTarget(env, secrets) {
  const kind = recognised(env, secrets);
  if (kind) return { kind, ...KINDS[kind].target(env, secrets) };
  injectedAddress(env); // names the first missing part of the address, if one is
  throw new Failure(
    "database",
    "lakebase_endpoint_missing",
    "LAKEBASE_ENDPOINT not set, and the workspace does not tell the app's resource `database`: deploy with " +
      "metamcp-deploy, not with the button in the workspace.",
  );
}

/** The API call that creates a password for a target. */
export function credentialRequest(target) {
  return KINDS[target.kind].credentialRequest(target);
}
