// Bundles programs into one ESM file each, with the esbuild of the tree itself (a dependency of its tsup).
// Reads {"from", "jobs": [{"entry", "outfile", ...esbuild options}]} on standard input; `from` is a package whose
// dependency esbuild is. Errors go to standard error as esbuild words them; exit code 1 when there is one.
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const { from, jobs } = JSON.parse(await text(process.stdin));
const { build } = createRequire(realpathSync(from))("esbuild");

// What CommonJS code inside an ESM file expects to be there.
const banner = `import { createRequire as __createRequire } from "node:module";
import { fileURLToPath as __fileURLToPath } from "node:url";
import { dirname as __pathDirname } from "node:path";
const require = __createRequire(import.meta.url);
const __filename = __fileURLToPath(import.meta.url);
const __dirname = __pathDirname(__filename);
`;

const common = {
  bundle: true,
  charset: "utf8",
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  platform: "node",
  target: "node20",
};

try {
  await Promise.all(
    jobs.map(({ entry, commonjs, ...options }) =>
      build({ ...common, ...(commonjs && { banner: { js: banner } }), ...options, entryPoints: [`./${entry}`] }),
    ),
  );
} catch {
  process.exitCode = 1; // esbuild has said what was wrong
}
