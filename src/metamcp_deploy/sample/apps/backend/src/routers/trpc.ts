import { randomBytes } from "node:crypto";

import {
  CreateApiKeySchema,
  CreateEndpointSchema,
  CreateMcpServerSchema,
  CreateNamespaceSchema,
} from "@repo/zod-types";
import { desc, eq } from "drizzle-orm";
import express from "express";

import { db } from "../db";
import {
  apiKeysTable,
  endpointsTable,
  mcpServersTable,
  namespaceServersTable,
  namespacesTable,
  toolsTable,
} from "../db/schema";
import { currentUser, type User } from "../lib/auth";
import { builtIn } from "../lib/tools";

/** Answers in tRPC's envelope, so that the same calls work here and on the real one; a procedure is a function. */
const procedures: Record<string, (input: unknown, user: User) => Promise<unknown>> = {
  "frontend.namespaces.create": async (input, user) => {
    const { mcpServerUuids, ...given } = CreateNamespaceSchema.parse(input);
    const values = { ...given, userId: user.id };
    return db.transaction(async (tx) => {
      const [data] = await tx.insert(namespacesTable).values(values).returning();
      const namespaceUuid = data!.uuid;
      await tx.insert(toolsTable).values(builtIn.map((tool) => ({ ...tool, namespaceUuid })));
      const mapped = mcpServerUuids.map((mcpServerUuid) => ({ namespaceUuid, mcpServerUuid }));
      if (mapped.length) {
        await tx.insert(namespaceServersTable).values(mapped);
      }
      return { success: true, data };
    });
  },
  "frontend.mcpServers.create": async (input, user) => {
    const { type, ...values } = CreateMcpServerSchema.parse(input);
    const [data] = await db
      .insert(mcpServersTable)
      .values({ ...values, userId: user.id })
      .returning();
    return { success: true, data: { ...data, type } };
  },
  "frontend.endpoints.create": async (input) => {
    const [data] = await db
      .insert(endpointsTable)
      .values(CreateEndpointSchema.parse(input))
      .returning();
    return { success: true, data };
  },
  "frontend.endpoints.list": async () => ({
    success: true,
    data: await db.select().from(endpointsTable).orderBy(desc(endpointsTable.createdAt)),
  }),
  "frontend.apiKeys.create": async (input, user) => {
    const key = `sk_mt_${randomBytes(32).toString("hex")}`;
    const [row] = await db
      .insert(apiKeysTable)
      .values({ ...CreateApiKeySchema.parse(input), key, userId: user.id })
      .returning();
    return { uuid: row!.uuid, name: row!.name, key, created_at: row!.createdAt };
  },
  "frontend.apiKeys.list": async (_input, user) => ({
    apiKeys: await db
      .select({ uuid: apiKeysTable.uuid, name: apiKeysTable.name, isActive: apiKeysTable.isActive })
      .from(apiKeysTable)
      .where(eq(apiKeysTable.userId, user.id)),
  }),
};

const trpcRouter = express.Router();

const failure = (httpStatus: number, code: string, message: string) => ({
  error: { message, data: { code, httpStatus } },
});

trpcRouter.all("/frontend/:procedure", async (req, res) => {
  const run = procedures[req.params.procedure];
  if (!run) {
    res.status(404).json(failure(404, "NOT_FOUND", `No procedure is called ${req.params.procedure}`));
    return;
  }
  try {
    const user = await currentUser(req);
    if (!user) {
      res.status(401).json(failure(401, "UNAUTHORIZED", "Sign in first"));
      return;
    }
    res.json({ result: { data: await run(req.body, user) } });
  } catch (error) {
    console.error(`${req.params.procedure} failed:`, error);
    const wrong = error instanceof Error && error.name === "ZodError";
    const [status, code] = wrong ? ([400, "BAD_REQUEST"] as const) : ([500, "INTERNAL_SERVER_ERROR"] as const);
    res.status(status).json(failure(status, code, wrong ? error.message : "Internal server error"));
  }
});

export default trpcRouter;
