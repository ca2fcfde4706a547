import { eq } from "drizzle-orm";

import { db } from "../../db";
import { mcpServersTable, namespaceServersTable } from "../../db/schema";
import { StdioServer } from "./stdio";
import { getDefaultEnvironment, resolveEnvVariables } from "./utils";

type Row = typeof mcpServersTable.$inferSelect;
type Tool = { name: string; inputSchema: unknown };

// One process for each server, started when it is first asked for.
const running = new Map<string, StdioServer>();

async function serverOf(row: Row): Promise<StdioServer> {
  const known = running.get(row.uuid);
  if (known?.alive) {
    return known;
  }
  const env = { ...getDefaultEnvironment(), ...resolveEnvVariables(row.env) };
  const server = new StdioServer(row.command, row.args, env);
  running.set(row.uuid, server);
  const clientInfo = { name: "metamcp-sample", version: "1.0.0" };
  await server.request("initialize", { protocolVersion: "2025-06-18", capabilities: {}, clientInfo });
  server.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  return server;
}

async function serversOf(namespaceUuid: string): Promise<Row[]> {
  const rows = await db
    .select({ server: mcpServersTable })
    .from(mcpServersTable)
    .innerJoin(namespaceServersTable, eq(namespaceServersTable.mcpServerUuid, mcpServersTable.uuid))
    .where(eq(namespaceServersTable.namespaceUuid, namespaceUuid));
  return rows.map((row) => row.server);
}

/** The tools of a namespace's servers, named as the real one does. */
export async function listServerTools(namespaceUuid: string): Promise<Tool[]> {
  const found = [];
  for (const row of await serversOf(namespaceUuid)) {
    const server = await serverOf(row);
    const { tools } = (await server.request("tools/list", {})) as { tools: Tool[] };
    found.push(...tools.map((tool) => ({ ...tool, name: `${row.name}__${tool.name}` })));
  }
  return found;
}

/** Null when the namespace has no such server. */
export async function callServerTool(
  namespaceUuid: string,
  name: string,
  args: Record<string, unknown>,
): Promise<unknown> {
  const [serverName, toolName] = name.split("__");
  const row = (await serversOf(namespaceUuid)).find((one) => one.name === serverName);
  if (!row) {
    return null;
  }
  const server = await serverOf(row);
  return server.request("tools/call", { name: toolName, arguments: args });
}
