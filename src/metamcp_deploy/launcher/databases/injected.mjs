// The database address that the platform injects for the app's resource `database`.

import { Failure } from "../failure.mjs";

/** {PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE}. Throws a Failure that names the first missing one. */
export function injectedAddress(env) {
  const address = {
    PGHOST: env.PGHOST,
    PGPORT: env.PGPORT || "5432",
    PGDATABASE: env.PGDATABASE,
    PGUSER: env.METAMCP_DATABASE_CLIENT_ID || env.PGUSER,
    PGSSLMODE: env.PGSSLMODE || "require",
  };
  const missing = Object.keys(address).find((name) => !address[name]);
  if (!missing) return address;
  const by = "the app's resource `database` injects it: deploy the bundle again, so that the app has that resource";
  throw new Failure("database", `${missing.toLowerCase()}_missing`, `${missing} not set; ${by}.`);
}
