ALTER TABLE "endpoints" DROP CONSTRAINT IF EXISTS "endpoints_name_unique_idx";--> statement-breakpoint
ALTER TABLE "namespaces" DROP CONSTRAINT "namespaces_name_unique";--> statement-breakpoint
ALTER TABLE "api_keys" ALTER COLUMN "user_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "namespaces" ADD COLUMN "user_id" text;--> statement-breakpoint
ALTER TABLE "endpoints" ADD COLUMN "use_query_param_auth" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "namespaces" ADD CONSTRAINT "namespaces_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "namespaces_user_id_idx" ON "namespaces" USING btree ("user_id");--> statement-breakpoint
ALTER TABLE "namespaces" ADD CONSTRAINT "namespaces_name_user_unique_idx" UNIQUE("name","user_id");--> statement-breakpoint
ALTER TABLE "namespaces" ADD CONSTRAINT "namespaces_name_check" CHECK (
        name ~ '^[a-zA-Z0-9_-]+$'
      );
