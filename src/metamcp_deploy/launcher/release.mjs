// What this release is (release.json beside the launcher), and its parts unpacked into scratch space.

import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import zlib from "node:zlib";

import { Failure } from "./failure.mjs";
import { say } from "./log.mjs";
import { extract } from "./tar.mjs";

const FORMAT = 1;
const PARTS = ["backend", "frontend", "migrations"];
const HASH_CHUNK = 1024 * 1024;
const INFLATE_CHUNK = 256 * 1024;

/** Reads and checks release.json. */
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
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(release.schema ?? "")) throw wrong("names no database schema");
  if (!Array.isArray(release.routes)) throw wrong("has no routes");
  for (const name of PARTS) {
    const part = release.parts?.[name];
    const plain = (text) => typeof text === "string" && text !== "" && !text.split("/").includes("..") && !text.startsWith("/");
    if (!part || !plain(part.file) || !plain(part.entry) || !/^[0-9a-f]{64}$/.test(part.sha256 ?? "")) {
      throw wrong(`does not describe the part ${name}`);
    }
  }
  return release;
}

/** A folder of our own in scratch space, nobody else's and no link. */
export function scratchFolder() {
  const folder = path.join(os.tmpdir(), "metamcp-release");
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stat = fs.lstatSync(folder);
  const ours = stat.isDirectory() && (!process.getuid || stat.uid === process.getuid());
  return ours ? folder : fs.mkdtempSync(`${folder}-`);
}

/** Unpacks all parts; returns {backend: folder, frontend: folder, migrations: folder}. Parts that are there are kept. */
export async function unpack(root, release, scratch = scratchFolder()) {
  const wanted = PARTS.map((name) => release.parts[name].sha256.slice(0, 32));
  for (const entry of fs.readdirSync(scratch)) {
    if (!wanted.includes(entry)) fs.rmSync(path.join(scratch, entry), { recursive: true, force: true });
  }
  const folders = {};
  for (const [index, name] of PARTS.entries()) {
    const folder = path.join(scratch, wanted[index]);
    if (!fs.existsSync(folder)) await unpackPart(path.join(root, release.parts[name].file), release.parts[name], folder, name);
    if (!fs.existsSync(path.join(folder, release.parts[name].entry))) {
      throw new Failure("unpack", "part_incomplete", `The part ${name} of the release has no ${release.parts[name].entry}: build again.`);
    }
    folders[name] = folder;
  }
  return folders;
}

async function unpackPart(file, part, folder, name) {
  const started = performance.now();
  const chunks = await checkedContent(file, part.sha256, name);
  const partial = fs.mkdtempSync(`${folder}.partial-`);
  try {
    const inflate = Readable.from(chunks).pipe(zlib.createGunzip({ chunkSize: INFLATE_CHUNK }));
    const files = await extract(inflate, partial);
    fs.renameSync(partial, folder);
    say(`Unpacked ${name}: ${files} files in ${Math.round(performance.now() - started)} ms`);
  } catch (error) {
    fs.rmSync(partial, { recursive: true, force: true });
    const full = error.code === "ENOSPC";
    throw new Failure("unpack", full ? "disk_full" : "part_damaged", `The part ${name} of the release cannot be unpacked.`, {
      detail: error.message,
      heals: full,
    });
  }
}

async function checkedContent(file, expected, name) {
  const hash = createHash("sha256");
  const chunks = [];
  try {
    for await (const chunk of fs.createReadStream(file, { highWaterMark: HASH_CHUNK })) {
      hash.update(chunk);
      chunks.push(chunk);
    }
  } catch (error) {
    throw new Failure("unpack", "part_missing", `The part ${name} of the release cannot be read: deploy again.`, { detail: error.message });
  }
  const found = hash.digest("hex");
  if (found !== expected) {
    const detail = `${file}: sha256 ${found}, release.json says ${expected}`;
    throw new Failure("unpack", "part_altered", `The part ${name} is not the one that release.json names: deploy again.`, { detail });
  }
  return chunks;
}
