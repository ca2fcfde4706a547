CREATE TYPE "public"."call_outcome" AS ENUM('DONE', 'REFUSED');--> statement-breakpoint
CREATE TABLE "public"."tool_calls" (
	"uuid" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"tool_uuid" uuid NOT NULL,
	"outcome" "public"."call_outcome" DEFAULT 'DONE'::"public"."call_outcome" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "public"."tool_calls" ADD CONSTRAINT "tool_calls_tool_uuid_tools_uuid_fk" FOREIGN KEY ("tool_uuid") REFERENCES "public"."tools"("uuid") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "tool_calls_tool_uuid_idx" ON "tool_calls" USING btree ("tool_uuid");--> statement-breakpoint
ALTER TABLE "tools" ADD COLUMN "last_outcome" "call_outcome" DEFAULT 'DONE' NOT NULL;--> statement-breakpoint
CREATE INDEX "tools_last_outcome_idx" ON "tools" USING btree ("last_outcome");
