// A Lakebase database instance: LAKEBASE_INSTANCE_NAME names the instance that the credential is for.

import { randomUUID } from "node:crypto";

import { injectedAddress } from "./injected.mjs";

export const settings = ["LAKEBASE_INSTANCE_NAME"];
export const secrets = [];

export function describes(env) {
  return Boolean(env.LAKEBASE_INSTANCE_NAME);
}

export function target(env) {
  return { ...injectedAddress(env), instance: env.LAKEBASE_INSTANCE_NAME };
}

export function credentialRequest({ instance }) {
  return { path: "/api/2.0/database/credentials", body: { request_id: randomUUID(), instance_names: [instance] } };
}

export function fromResource({ database }) {
  return database?.instance_name ? { LAKEBASE_INSTANCE_NAME: database.instance_name } : null;
}
