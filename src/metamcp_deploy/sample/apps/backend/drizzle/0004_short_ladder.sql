DROP INDEX "tools_last_outcome_idx";--> statement-breakpoint
ALTER TABLE "tools" DROP COLUMN "last_outcome";
