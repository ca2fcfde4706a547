import { type RpcRequest, RpcRequestSchema } from "@repo/zod-types";
import { and, eq } from "drizzle-orm";
import express from "express";

import { db } from "../db";
import { apiKeysTable, endpointsTable, namespacesTable } from "../db/schema";
import { callTool, listTools } from "../lib/tools";

type Endpoint = typeof endpointsTable.$inferSelect;
type Admitted = express.Response<unknown, { endpoint: Endpoint }>;

const gatewayRouter = express.Router();

// Static on purpose, as in the real one: it answers while the database does not.
gatewayRouter.get("/health", (_req, res) => {
  res.json({ status: "ok", service: "public-endpoints" });
});

gatewayRouter.get("/", async (_req, res) => {
  try {
    const rows = await db
      .select({
        name: endpointsTable.name,
        description: endpointsTable.description,
        namespace: namespacesTable.name,
      })
      .from(endpointsTable)
      .innerJoin(namespacesTable, eq(endpointsTable.namespaceUuid, namespacesTable.uuid))
      .orderBy(endpointsTable.name);
    const endpoints = rows.map((row) => ({
      ...row,
      endpoints: { mcp: `/metamcp/${row.name}/mcp`, sse: `/metamcp/${row.name}/sse` },
    }));
    res.json({ service: "public-endpoints", version: "1.0.0", endpoints });
  } catch (error) {
    console.error("Endpoints cannot be listed:", error);
    res.status(500).json({ error: "Internal server error", message: "Failed to list endpoints" });
  }
});

function keyOf(req: express.Request, endpoint: Endpoint): string | undefined {
  const bearer = req.headers.authorization?.match(/^Bearer (.+)$/)?.[1];
  const query = endpoint.useQueryParamAuth ? req.query.api_key : undefined;
  return req.get("x-api-key") ?? bearer ?? (typeof query === "string" ? query : undefined);
}

async function keyIsGood(key: string): Promise<boolean> {
  const rows = await db
    .select({ uuid: apiKeysTable.uuid })
    .from(apiKeysTable)
    .where(and(eq(apiKeysTable.key, key), eq(apiKeysTable.isActive, true)));
  return rows.length === 1;
}

async function admit(req: express.Request, res: Admitted, next: express.NextFunction) {
  const name = String(req.params.endpoint);
  try {
    const [endpoint] = await db
      .select()
      .from(endpointsTable)
      .where(eq(endpointsTable.name, name));
    if (!endpoint) {
      res.status(404).json({ error: "Endpoint not found", message: `No endpoint is called ${name}` });
      return;
    }
    const key = keyOf(req, endpoint);
    if (endpoint.enableApiKeyAuth && !(key && (await keyIsGood(key)))) {
      res.status(401).json({
        error: key ? "invalid_api_key" : "authentication_required",
        error_description: "Send a key of this gateway as X-API-Key",
      });
      return;
    }
    res.locals.endpoint = endpoint;
    next();
  } catch (error) {
    console.error("Endpoint cannot be looked up:", error);
    res.status(500).json({ error: "Internal server error", message: "Failed to lookup endpoint" });
  }
}

type Answer = { result: unknown } | { error: { code: number; message: string } };

async function answer({ method, params }: RpcRequest, namespaceUuid: string): Promise<Answer> {
  switch (method) {
    case "initialize":
      return {
        result: {
          protocolVersion: params.protocolVersion ?? "2025-06-18",
          capabilities: { tools: {} },
          serverInfo: { name: "metamcp-sample", version: "1.0.0" },
        },
      };
    case "ping":
      return { result: {} };
    case "tools/list":
      return { result: { tools: await listTools(namespaceUuid) } };
    case "tools/call": {
      const given = (params.arguments ?? {}) as Record<string, unknown>;
      const result = await callTool(namespaceUuid, String(params.name), given);
      return result
        ? { result }
        : { error: { code: -32602, message: `No tool is called ${String(params.name)}` } };
    }
    default:
      return { error: { code: -32601, message: `Method not found: ${method}` } };
  }
}

gatewayRouter.post("/:endpoint/mcp", express.json({ limit: "50mb" }), admit, async (req, res: Admitted) => {
  const request = RpcRequestSchema.safeParse(req.body);
  if (!request.success) {
    res.status(400).json({
      jsonrpc: "2.0",
      id: null,
      error: { code: -32600, message: "The body is no JSON-RPC request" },
    });
    return;
  }
  const { id } = request.data;
  if (id === undefined) {
    res.status(202).end();
    return;
  }
  try {
    res.json({ jsonrpc: "2.0", id, ...(await answer(request.data, res.locals.endpoint.namespaceUuid)) });
  } catch (error) {
    console.error("Request failed:", error);
    res.status(500).json({ jsonrpc: "2.0", id, error: { code: -32603, message: "Internal error" } });
  }
});

// One event a second for as long as the client listens: enough to see whether streams get through.
gatewayRouter.get("/:endpoint/sse", admit, (req, res) => {
  res.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform" });
  res.flushHeaders();
  let count = 0;
  const tick = () => res.write(`event: tick\nid: ${++count}\ndata: {"tick":${count}}\n\n`);
  tick();
  const timer = setInterval(tick, 1000);
  req.on("close", () => clearInterval(timer));
});

export default gatewayRouter;
