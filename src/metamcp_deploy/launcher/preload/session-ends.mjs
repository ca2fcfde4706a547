// Ends MCP sessions that the launcher names, each by its router's own clean-up: the patched backend hands those over here
// (overrides/apps/backend/src/databricks/session-ends.ts).

/** From now on the service's routers can hand over their clean-ups. Returns the function that ends {id, router, endpoint}. */
export function takeSessionEnds() {
  const ends = new Map(); // router → function of a session's id and its endpoint
  globalThis[Symbol.for("metamcp-deploy.session-ends")] = ends;
  return async ({ id, router, endpoint }) => {
    try {
      await ends.get(router)?.(id, endpoint);
    } catch (error) {
      console.error(`Session ${id} was not ended: ${error?.message ?? error}`);
    }
  };
}
