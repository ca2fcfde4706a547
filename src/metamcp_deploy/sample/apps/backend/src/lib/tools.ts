import { CallOutcomeEnum, type ToolKind, ToolKindEnum } from "@repo/zod-types";
import { and, eq } from "drizzle-orm";

import { db } from "../db";
import { toolCallsTable, toolsTable } from "../db/schema";
import { callServerTool, listServerTools } from "./metamcp/servers";

type Result = { content: { type: "text"; text: string }[]; isError?: boolean };
type Arguments = Record<string, unknown>;

const text = (value: string): Result => ({ content: [{ type: "text", text: value }] });

const runs: Record<ToolKind, (args: Arguments) => Result> = {
  ECHO: (args) =>
    typeof args.text === "string"
      ? text(args.text)
      : { ...text("echo needs `text`, a string"), isError: true },
  CLOCK: () => text(new Date().toISOString()),
};

/** What every new namespace starts with. */
export const builtIn = [
  {
    name: "echo",
    kind: ToolKindEnum.Enum.ECHO,
    tags: ["text"],
    toolSchema: {
      type: "object",
      properties: { text: { type: "string" } },
      required: ["text"],
    },
  },
  {
    name: "clock",
    kind: ToolKindEnum.Enum.CLOCK,
    toolSchema: { type: "object", properties: {} },
  },
];

export async function listTools(namespaceUuid: string, sessionId: string) {
  const rows = await db
    .select()
    .from(toolsTable)
    .where(and(eq(toolsTable.namespaceUuid, namespaceUuid), eq(toolsTable.status, "ACTIVE")))
    .orderBy(toolsTable.name);
  const own = rows.map((row) => ({ name: row.name, inputSchema: row.toolSchema }));
  return [...own, ...(await listServerTools(namespaceUuid, sessionId))];
}

/** Runs a tool and records the call; null when the namespace has no such tool. */
export async function callTool(
  namespaceUuid: string,
  name: string,
  args: Arguments,
  sessionId: string,
): Promise<unknown> {
  if (name.includes("__")) {
    return callServerTool(namespaceUuid, name, args, sessionId);
  }
  const started = performance.now();
  const [tool] = await db
    .select()
    .from(toolsTable)
    .where(
      and(
        eq(toolsTable.namespaceUuid, namespaceUuid),
        eq(toolsTable.name, name),
        eq(toolsTable.status, "ACTIVE"),
      ),
    );
  if (!tool) {
    return null;
  }
  const result = runs[tool.kind](args);
  await db.insert(toolCallsTable).values({
    toolUuid: tool.uuid,
    outcome: result.isError ? CallOutcomeEnum.Enum.REFUSED : CallOutcomeEnum.Enum.DONE,
    milliseconds: Math.round(performance.now() - started),
  });
  return result;
}
