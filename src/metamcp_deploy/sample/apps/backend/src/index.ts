import express from "express";

import "./lib/settings";
import authRouter from "./routers/auth";
import metamcpRouter from "./routers/mcp-proxy/metamcp";
import inspectorRouter from "./routers/mcp-proxy/server";
import publicEndpointsRouter from "./routers/public-metamcp";
import trpcRouter from "./routers/trpc";

const app = express();

app.use((req, res, next) => {
  // What goes through the gateway reads its own body.
  if (req.path.startsWith("/metamcp/") || req.path.startsWith("/mcp-proxy/")) {
    next();
  } else {
    express.json({ limit: "50mb" })(req, res, next);
  }
});

app.use("/api/auth", authRouter);
app.use("/metamcp", publicEndpointsRouter);
app.use("/mcp-proxy/metamcp", metamcpRouter);
app.use("/mcp-proxy/server", inspectorRouter);
app.use("/trpc", trpcRouter);

app.get("/health", (_req, res) => {
  res.json({ status: "ok" });
});

app.listen(12009, async () => {
  console.log(`Server is running on port 12009`);
});
