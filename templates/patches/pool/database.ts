export const pool = new Pool({
  {% filter indent(2, true) %}
{% include "patches/pool/_connection.ts" %}
  {% endfilter %}
});

// An idle connection that the server closes must not end the process; the pool opens another when one is needed.
pool.on("error", (error) => {
  console.error("Lost an idle database connection:", error.message);
});

export const db = drizzle(pool, { schema });
