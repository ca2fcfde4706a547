import express from "express";

import { StreamableSessions } from "../../lib/metamcp/sessions";
import { admit, type Admitted } from "./admit";

const streamableHttpRouter = express.Router();
const sessions = new StreamableSessions();

// Cleanup function for a specific session
const cleanupSession = async (sessionId: string) => {
  sessions.close(sessionId);
};

streamableHttpRouter.get("/:endpoint/mcp", admit, (req, res) => sessions.listen(req, res));

streamableHttpRouter.post(
  "/:endpoint/mcp",
  express.json({ limit: "50mb" }),
  admit,
  (req, res: Admitted) => sessions.answer(req, res, res.locals.endpoint.namespaceUuid),
);

streamableHttpRouter.delete("/:endpoint/mcp", admit, async (req, res) => {
  await cleanupSession(String(req.get("mcp-session-id")));
  res.end();
});

export default streamableHttpRouter;
