ALTER TABLE "tools"
  ADD COLUMN IF NOT EXISTS "annotations" jsonb DEFAULT NULL;
--> statement-breakpoint
ALTER TABLE "tool_calls" ADD COLUMN "milliseconds" integer DEFAULT 0 NOT NULL;
