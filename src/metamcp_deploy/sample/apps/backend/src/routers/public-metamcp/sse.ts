import { randomUUID } from "node:crypto";

import express from "express";

import { admit } from "./admit";

const sseRouter = express.Router();
const streams = new Map<string, express.Response>();

const cleanupSession = async (sessionId: string) => {
  streams.get(sessionId)?.end();
  streams.delete(sessionId);
};

// One event a second for as long as the client listens: enough to see whether streams get through.
sseRouter.get("/:endpoint/sse", admit, (req, res) => {
  res.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform" });
  res.flushHeaders();
  let count = 0;
  const tick = () => res.write(`event: tick\nid: ${++count}\ndata: {"tick":${count}}\n\n`);
  tick();
  const timer = setInterval(tick, 1000);
  const sessionId = randomUUID();
  streams.set(sessionId, res);
  req.on("close", () => {
    clearInterval(timer);
    void cleanupSession(sessionId);
  });
});

export default sseRouter;
