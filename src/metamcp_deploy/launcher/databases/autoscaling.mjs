// A Lakebase project: LAKEBASE_ENDPOINT is the resource path of the endpoint that the credential is for.

import { injectedAddress } from "./injected.mjs";

export const settings = ["LAKEBASE_ENDPOINT"];
export const secrets = [];

export function describes(env) {
  return Boolean(env.LAKEBASE_ENDPOINT);
}

export function target(env) {
  return { ...injectedAddress(env), endpoint: env.LAKEBASE_ENDPOINT };
}

export function credentialRequest({ endpoint }) {
  return { path: "/api/2.0/postgres/credentials", body: { endpoint } };
}

/** The resource names a branch only; every branch has an endpoint `primary`. */
export function fromResource({ postgres }) {
  return postgres?.branch ? { LAKEBASE_ENDPOINT: `${postgres.branch}/endpoints/primary` } : null;
}
