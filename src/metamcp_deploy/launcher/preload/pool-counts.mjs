// Tells the launcher how many connections to the database the service has, where its bundle counts them
// (overrides/apps/backend/src/databricks/pool-counts.ts).

const EVERY_MS = 500;
const COUNTS = Symbol.for("metamcp-deploy.pool-counts");

/** From now on calls `send` with {event, total, idle, waiting, most} whenever a number has changed. */
export function reportPool(send) {
  let last = "";
  setInterval(() => {
    const counts = globalThis[COUNTS]?.();
    const text = JSON.stringify(counts);
    if (!counts || text === last) return;
    last = text;
    send({ event: "pool", ...counts });
  }, EVERY_MS).unref();
}
