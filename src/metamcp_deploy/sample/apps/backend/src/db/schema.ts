import { CallOutcomeEnum, ToolKindEnum, ToolStatusEnum } from "@repo/zod-types";
import { sql } from "drizzle-orm";
import {
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgEnum,
  pgTable,
  text,
  timestamp,
  unique,
  uuid,
} from "drizzle-orm/pg-core";

export const toolKindEnum = pgEnum("tool_kind", ToolKindEnum.options);
export const toolStatusEnum = pgEnum("tool_status", ToolStatusEnum.options);
export const callOutcomeEnum = pgEnum("call_outcome", CallOutcomeEnum.options);

const createdAt = () =>
  timestamp("created_at", { withTimezone: true }).notNull().defaultNow();

export const usersTable = pgTable("users", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  email: text("email").notNull().unique(),
  passwordHash: text("password_hash").notNull(),
  createdAt: createdAt(),
});

export const sessionsTable = pgTable(
  "sessions",
  {
    token: text("token").primaryKey(),
    expiresAt: timestamp("expires_at", { withTimezone: true }).notNull(),
    userId: text("user_id")
      .notNull()
      .references(() => usersTable.id, { onDelete: "cascade" }),
    createdAt: createdAt(),
  },
  (table) => [index("sessions_user_id_idx").on(table.userId)],
);

export const namespacesTable = pgTable(
  "namespaces",
  {
    uuid: uuid("uuid").primaryKey().defaultRandom(),
    name: text("name").notNull(),
    description: text("description"),
    userId: text("user_id").references(() => usersTable.id, {
      onDelete: "cascade",
    }),
    createdAt: createdAt(),
  },
  (table) => [
    index("namespaces_user_id_idx").on(table.userId),
    unique("namespaces_name_user_unique_idx").on(table.name, table.userId),
    check("namespaces_name_check", sql`${table.name} ~ '^[a-zA-Z0-9_-]+$'`),
  ],
);

export const mcpServersTable = pgTable(
  "mcp_servers",
  {
    uuid: uuid("uuid").primaryKey().defaultRandom(),
    name: text("name").notNull(),
    command: text("command").notNull(),
    args: text("args")
      .array()
      .notNull()
      .default(sql`'{}'::text[]`),
    env: jsonb("env").$type<Record<string, string>>().notNull().default(sql`'{}'::jsonb`),
    userId: text("user_id").references(() => usersTable.id, {
      onDelete: "cascade",
    }),
    createdAt: createdAt(),
  },
  (table) => [unique("mcp_servers_name_unique").on(table.name)],
);

export const namespaceServersTable = pgTable(
  "namespace_servers",
  {
    namespaceUuid: uuid("namespace_uuid")
      .notNull()
      .references(() => namespacesTable.uuid, { onDelete: "cascade" }),
    mcpServerUuid: uuid("mcp_server_uuid")
      .notNull()
      .references(() => mcpServersTable.uuid, { onDelete: "cascade" }),
  },
  (table) => [
    unique("namespace_servers_unique_idx").on(table.namespaceUuid, table.mcpServerUuid),
  ],
);

export const endpointsTable = pgTable(
  "endpoints",
  {
    uuid: uuid("uuid").primaryKey().defaultRandom(),
    name: text("name").notNull(),
    description: text("description"),
    namespaceUuid: uuid("namespace_uuid")
      .notNull()
      .references(() => namespacesTable.uuid, { onDelete: "cascade" }),
    enableApiKeyAuth: boolean("enable_api_key_auth").notNull().default(true),
    useQueryParamAuth: boolean("use_query_param_auth").notNull().default(false),
    createdAt: createdAt(),
  },
  (table) => [
    index("endpoints_namespace_uuid_idx").on(table.namespaceUuid),
    unique("endpoints_name_unique").on(table.name),
  ],
);

export const toolsTable = pgTable(
  "tools",
  {
    uuid: uuid("uuid").primaryKey().defaultRandom(),
    namespaceUuid: uuid("namespace_uuid")
      .notNull()
      .references(() => namespacesTable.uuid, { onDelete: "cascade" }),
    name: text("name").notNull(),
    kind: toolKindEnum("kind").notNull().default(ToolKindEnum.Enum.ECHO),
    status: toolStatusEnum("status")
      .notNull()
      .default(ToolStatusEnum.Enum.ACTIVE),
    tags: text("tags")
      .array()
      .notNull()
      .default(sql`'{}'::text[]`),
    toolSchema: jsonb("tool_schema")
      .$type<Record<string, unknown>>()
      .notNull()
      .default(sql`'{}'::jsonb`),
    annotations: jsonb("annotations").$type<Record<string, unknown> | null>(),
  },
  (table) => [
    index("tools_namespace_uuid_idx").on(table.namespaceUuid),
    index("tools_status_idx").on(table.status),
    unique("tools_name_per_namespace_idx").on(table.namespaceUuid, table.name),
  ],
);

export const toolCallsTable = pgTable(
  "tool_calls",
  {
    uuid: uuid("uuid").primaryKey().defaultRandom(),
    toolUuid: uuid("tool_uuid")
      .notNull()
      .references(() => toolsTable.uuid, { onDelete: "cascade" }),
    outcome: callOutcomeEnum("outcome")
      .notNull()
      .default(CallOutcomeEnum.Enum.DONE),
    milliseconds: integer("milliseconds").notNull().default(0),
    createdAt: createdAt(),
  },
  (table) => [index("tool_calls_tool_uuid_idx").on(table.toolUuid)],
);

export const apiKeysTable = pgTable(
  "api_keys",
  {
    uuid: uuid("uuid").primaryKey().defaultRandom(),
    name: text("name").notNull(),
    key: text("key").notNull().unique(),
    userId: text("user_id").references(() => usersTable.id, {
      onDelete: "cascade",
    }),
    isActive: boolean("is_active").notNull().default(true),
    createdAt: createdAt(),
  },
  (table) => [
    index("api_keys_user_id_idx").on(table.userId),
    unique("api_keys_name_per_user_idx").on(table.userId, table.name),
  ],
);

export const configTable = pgTable("config", {
  id: text("id").primaryKey(),
  value: text("value").notNull(),
  updatedAt: timestamp("updated_at", { withTimezone: true })
    .notNull()
    .defaultNow(),
});
