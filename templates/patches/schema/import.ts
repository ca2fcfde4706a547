import {
{% for name in (NAMES | reject("in", ["pgTable", "pgEnum"]) | list + ["pgSchema"]) | sort %}
  {{ name }},
{% endfor %}
} from "drizzle-orm/pg-core";

// One schema for everything: the app may create schemas, but nothing in public.
export const metamcpSchema = pgSchema("{{ schema }}");
