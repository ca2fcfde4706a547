import { z } from "zod";

export const ToolKindEnum = z.enum(["ECHO", "CLOCK"]);
export const ToolStatusEnum = z.enum(["ACTIVE", "INACTIVE"]);
export const CallOutcomeEnum = z.enum(["DONE", "REFUSED"]);

const name = z.string().regex(/^[a-zA-Z0-9_-]+$/, "letters, digits, _ and -");

export const SignUpSchema = z.object({
  email: z.string().email(),
  password: z.string().min(8),
  name: z.string().min(1),
});

export const SignInSchema = SignUpSchema.pick({ email: true, password: true });

export const OAuthSignInSchema = z.object({
  providerId: z.string(),
  // A path of this origin: the browser is not sent elsewhere.
  callbackURL: z.string().regex(/^\/(?![/\\])/),
});

export const CreateNamespaceSchema = z.object({
  name,
  description: z.string().optional(),
  mcpServerUuids: z.array(z.string().uuid()).default([]),
});

export const CreateMcpServerSchema = z.object({
  name,
  type: z.literal("STDIO"),
  command: z.string().min(1),
  args: z.array(z.string()).default([]),
  env: z.record(z.string()).default({}),
});

export const CreateEndpointSchema = z.object({
  name,
  description: z.string().optional(),
  namespaceUuid: z.string().uuid(),
  enableApiKeyAuth: z.boolean().default(true),
  useQueryParamAuth: z.boolean().default(false),
});

export const CreateApiKeySchema = z.object({ name: z.string().min(1) });

export const RpcRequestSchema = z.object({
  jsonrpc: z.literal("2.0"),
  id: z.union([z.string(), z.number()]).optional(),
  method: z.string(),
  params: z.record(z.unknown()).default({}),
});

export type RpcRequest = z.infer<typeof RpcRequestSchema>;
export type ToolKind = z.infer<typeof ToolKindEnum>;
