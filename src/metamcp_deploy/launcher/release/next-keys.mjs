// Next signs and encrypts with keys that its build generates and writes into manifests. A release has public placeholders
// instead (see release/build/reproducible.py). Each deployment replaces them by keys of its own, derived from its
// BETTER_AUTH_SECRET: they stay the same over restarts and do not reveal that secret.

import { hkdfSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const hex = (length) => ({ length, encoding: "hex" });
const PLACEHOLDERS = new Map([
  ["1".padStart(32, "0"), { name: "preview id", ...hex(16) }],
  ["2".padStart(64, "0"), { name: "preview signing", ...hex(32) }],
  ["3".padStart(64, "0"), { name: "preview encryption", ...hex(32) }],
  [Buffer.alloc(32, 4).toString("base64"), { name: "server actions", length: 32, encoding: "base64" }],
]);

/** The keys of one deployment: [placeholder, key] pairs. */
export function nextKeys(secret) {
  return Array.from(PLACEHOLDERS, ([placeholder, { name, length, encoding }]) => {
    const key = hkdfSync("sha256", secret, "metamcp-deploy", `next ${name}`, length);
    return [placeholder, Buffer.from(key).toString(encoding)];
  });
}

/** Replaces the placeholders by the keys in files below a folder. Throws when a file is missing. */
export function putKeys(folder, files, keys) {
  for (const name of files) {
    const file = path.join(folder, name);
    const content = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, keys.reduce((text, [placeholder, key]) => text.replaceAll(placeholder, key), content));
  }
}
