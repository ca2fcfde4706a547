import { eq } from "drizzle-orm";
import express from "express";

import { db } from "../db";
import { endpointsTable, namespacesTable } from "../db/schema";
import sseRouter from "./public-metamcp/sse";
import streamableHttpRouter from "./public-metamcp/streamable-http";

const publicEndpointsRouter = express.Router();

// Static on purpose, as in the real one: it answers while the database does not.
publicEndpointsRouter.get("/health", (_req, res) => {
  res.json({ status: "ok", service: "public-endpoints" });
});

publicEndpointsRouter.get("/", async (_req, res) => {
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

publicEndpointsRouter.use(streamableHttpRouter);
publicEndpointsRouter.use(sseRouter);

export default publicEndpointsRouter;
