{{ text }},
schemaFilter: ["{{ schema }}"],
migrations: { schema: "{{ schema }}", table: "__drizzle_migrations" }
