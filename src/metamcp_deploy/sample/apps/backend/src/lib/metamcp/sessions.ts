import { randomUUID } from "node:crypto";

import { type RpcRequest, RpcRequestSchema } from "@repo/zod-types";
import type express from "express";

import { callTool, listTools } from "../tools";
import { closeServers } from "./servers";

type Answer = { result: unknown } | { error: { code: number; message: string } };

async function answer({ method, params }: RpcRequest, namespaceUuid: string, sessionId: string): Promise<Answer> {
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
      return { result: { tools: await listTools(namespaceUuid, sessionId) } };
    case "tools/call": {
      const given = (params.arguments ?? {}) as Record<string, unknown>;
      const result = await callTool(namespaceUuid, String(params.name), given, sessionId);
      return result
        ? { result }
        : { error: { code: -32602, message: `No tool is called ${String(params.name)}` } };
    }
    default:
      return { error: { code: -32601, message: `Method not found: ${method}` } };
  }
}

/** Sessions over streamable HTTP. As in the real one they last until their client sends DELETE. */
export class StreamableSessions {
  #open = new Set<string>();

  /** A stream on which nothing is ever said. */
  listen(req: express.Request, res: express.Response): void {
    if (!this.#open.has(req.get("mcp-session-id") ?? "")) {
      res.status(404).end("Session not found");
      return;
    }
    res.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform" });
    res.flushHeaders();
  }

  async answer(req: express.Request, res: express.Response, namespaceUuid: string): Promise<void> {
    const request = RpcRequestSchema.safeParse(req.body);
    if (!request.success) {
      res.status(400).json({
        jsonrpc: "2.0",
        id: null,
        error: { code: -32600, message: "The body is no JSON-RPC request" },
      });
      return;
    }
    let sessionId = req.get("mcp-session-id");
    if (sessionId !== undefined && !this.#open.has(sessionId)) {
      res.status(404).json({ error: "Session not found", message: `Transport not found for sessionId ${sessionId}` });
      return;
    }
    const { id, method } = request.data;
    if (sessionId === undefined && method === "initialize") {
      sessionId = randomUUID();
      this.#open.add(sessionId);
      res.set("mcp-session-id", sessionId);
    }
    if (id === undefined) {
      res.status(202).end();
      return;
    }
    try {
      res.json({ jsonrpc: "2.0", id, ...(await answer(request.data, namespaceUuid, sessionId ?? "")) });
    } catch (error) {
      console.error("Request failed:", error);
      res.status(500).json({ jsonrpc: "2.0", id, error: { code: -32603, message: "Internal error" } });
    }
  }

  close(sessionId: string): void {
    this.#open.delete(sessionId);
    closeServers(sessionId);
  }
}
