import { and, eq } from "drizzle-orm";
import express from "express";

import { db } from "../../db";
import { apiKeysTable, endpointsTable } from "../../db/schema";

type Endpoint = typeof endpointsTable.$inferSelect;
export type Admitted = express.Response<unknown, { endpoint: Endpoint }>;

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

/** Looks up the endpoint and asks for its key. */
export async function admit(req: express.Request, res: Admitted, next: express.NextFunction) {
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
