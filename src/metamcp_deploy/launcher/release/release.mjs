// The description of the release: release.json beside the launcher.

import fs from "node:fs";
import path from "node:path";

import { Failure } from "../failure.mjs";

const FORMAT = 2;
// These say where a release comes from. The release's id does not cover them, and nothing here may depend on them.
const DESCRIPTIVE = ["id", "tool", "upstream", "left_out", "patches", "overrides", "built_with", "advisories", "files", "verified"];

export const PARTS = ["backend", "migrations", "frontend"]; // in the order of need; the last is the largest

/** What the status says of the release: {id, pin: {ref, commit}, tool}; null where release.json does not say it. */
export function labelOf(root) {
  let release;
  try {
    release = JSON.parse(fs.readFileSync(path.join(root, "release.json"), "utf8"));
  } catch {
    release = null;
  }
  const text = (value) => (typeof value === "string" ? value : null);
  const pin = { ref: text(release?.upstream?.ref), commit: text(release?.upstream?.commit) };
  return { id: text(release?.id), pin, tool: text(release?.tool?.version ?? release?.tool) };
}

/** Reads and checks release.json; gives the fields that the release's id covers, and the digests of the archives. */
export function readRelease(root) {
  const file = path.join(root, "release.json");
  const wrong = (what) => new Failure("release", "release_invalid", `release.json ${what}: build and deploy again.`);
  let release;
  try {
    release = JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    throw new Failure("release", "release_invalid", "release.json is missing or damaged: build and deploy again.", { detail: error.message });
  }
  if (release?.format !== FORMAT) throw wrong(`has format ${release?.format}, this launcher reads ${FORMAT}`);
  for (const name of DESCRIPTIVE) delete release[name];
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(release.schema ?? "")) throw wrong("names no database schema");
  if (!Array.isArray(release.routes)) throw wrong("has no routes");
  const plain = (text) => typeof text === "string" && text !== "" && !text.split("/").includes("..") && !text.startsWith("/");
  for (const name of PARTS) {
    const part = release.parts?.[name];
    if (!part || !plain(part.file) || !plain(part.entry) || !/^[0-9a-f]{64}$/.test(part.sha256 ?? "")) {
      throw wrong(`does not describe the part ${name}`);
    }
    part.keys ??= [];
    if (!Array.isArray(part.keys) || !part.keys.every(plain)) throw wrong(`names no files as keys of the part ${name}`);
  }
  return release;
}
