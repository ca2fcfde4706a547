import express from "express";

import { currentUser } from "../../lib/auth";
import { StreamableSessions } from "../../lib/metamcp/sessions";

// The inspector of a namespace, for signed-in users.
const metamcpRouter = express.Router();
const sessions = new StreamableSessions();

metamcpRouter.use(async (req, res, next) => {
  if (await currentUser(req)) {
    next();
  } else {
    res.status(401).json({ error: "Authentication required" });
  }
});

// Cleanup function for a specific session
const cleanupSession = async (sessionId: string) => {
  sessions.close(sessionId);
};

metamcpRouter.get("/:uuid/mcp", (req, res) => sessions.listen(req, res));
metamcpRouter.post("/:uuid/mcp", express.json(), (req, res) => sessions.answer(req, res, req.params.uuid!));
metamcpRouter.delete("/:uuid/mcp", async (req, res) => {
  await cleanupSession(String(req.get("mcp-session-id")));
  res.end();
});

export default metamcpRouter;
