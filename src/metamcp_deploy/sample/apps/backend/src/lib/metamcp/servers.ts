import { eq } from "drizzle-orm";

import { db } from "../../db";
import { mcpServersTable, namespaceServersTable } from "../../db/schema";
import { StdioServer } from "./stdio";
import { getDefaultEnvironment, resolveEnvVariables } from "./utils";

type Row = typeof mcpServersTable.$inferSelect;
type Tool = { name: string; inputSchema: unknown };

// One process for each server of a session, started when it is first asked for.
const running = new Map<string, StdioServer>();

/** Ends the servers of a session. */
export function closeServers(sessionId: string): void {
  for (const [key, server] of running) {
    if (key.startsWith(`${sessionId}/`)) {
      running.delete(key);
      server.close();
    }
  }
}

async function serverOf(row: Row, sessionId: string): Promise<StdioServer> {
  const key = `${sessionId}/${row.uuid}`;
  const known = running.get(key);
  if (known?.alive) {
    return known;
  }
  const env = { ...getDefaultEnvironment(), ...resolveEnvVariables(row.env) };
  const server = new StdioServer(row.command, row.args, env);
  running.set(key, server);
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
export async function listServerTools(namespaceUuid: string, sessionId: string): Promise<Tool[]> {
  const found = [];
  for (const row of await serversOf(namespaceUuid)) {
    const server = await serverOf(row, sessionId);
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
  sessionId: string,
): Promise<unknown> {
  const [serverName, toolName] = name.split("__");
  const row = (await serversOf(namespaceUuid)).find((one) => one.name === serverName);
  if (!row) {
    return null;
  }
  const server = await serverOf(row, sessionId);
  return server.request("tools/call", { name: toolName, arguments: args });
}
