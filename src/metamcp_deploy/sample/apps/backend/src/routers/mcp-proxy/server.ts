import { randomUUID } from "node:crypto";

import express from "express";

import { currentUser } from "../../lib/auth";
import { StdioServer } from "../../lib/metamcp/stdio";
import { getDefaultEnvironment, resolveEnvVariables } from "../../lib/metamcp/utils";

const defaultEnvironment = {
  ...getDefaultEnvironment(),
};

// The inspector: a page that talks to whatever server the query names, over one stream and one route for messages.
const serverRouter = express.Router();
const sessions = new Map<string, StdioServer>();

// Session cleanup function
const cleanupSession = async (sessionId: string) => {
  sessions.get(sessionId)?.close();
  sessions.delete(sessionId);
};

serverRouter.use(async (req, res, next) => {
  if (await currentUser(req)) {
    next();
  } else {
    res.status(401).json({ error: "Authentication required" });
  }
});

function createTransport(req: express.Request): StdioServer {
  const { transportType, command, args, env: given } = req.query as Record<string, string>;
  if (transportType !== "STDIO") {
    throw new Error(`Unknown transport: ${transportType}`);
  }
  const resolved = resolveEnvVariables(JSON.parse(given || "{}"));
  const env = { ...process.env, ...defaultEnvironment, ...resolved };
  return new StdioServer(command!, args ? args.split(" ") : [], env);
}

const open: express.RequestHandler = (req, res) => {
  try {
    const server = createTransport(req);
    const sessionId = randomUUID();
    sessions.set(sessionId, server);
    res.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform" });
    res.write(`event: endpoint\ndata: /mcp-proxy/server/message?sessionId=${sessionId}\n\n`);
    server.onmessage = (message) => res.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
    server.process.on("close", () => res.end());
    req.on("close", () => cleanupSession(sessionId));
  } catch (error) {
    res.status(500).json({ error: String(error) });
  }
};

// As in the real one, all of them start what the query says.
serverRouter.get("/stdio", open);
serverRouter.get("/sse", open);

serverRouter.post("/message", express.json(), (req, res) => {
  const server = sessions.get(String(req.query.sessionId));
  if (!server) {
    res.status(404).json({ error: "Session not found" });
    return;
  }
  server.send(req.body);
  res.status(202).end();
});

serverRouter.get("/health", (_req, res) => {
  res.json({ status: "ok" });
});

export default serverRouter;
