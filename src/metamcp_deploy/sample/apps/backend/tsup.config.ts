import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts"],
  format: ["esm"],
  target: "node20",
  outDir: "dist",
  clean: true,
  keepNames: true,
  external: ["@repo/zod-types", "drizzle-orm", "express", "pg"],
});
