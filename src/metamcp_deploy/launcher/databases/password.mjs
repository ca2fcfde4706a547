// A database whose address the platform injects and whose password is kept in a secret: no credential is fetched.

import { injectedAddress } from "./injected.mjs";

export const settings = [];
export const secrets = ["PGPASSWORD"];

export function describes(env, { PGPASSWORD }) {
  return Boolean(PGPASSWORD);
}

export function target(env, { PGPASSWORD }) {
  return { ...injectedAddress(env), password: PGPASSWORD };
}
