// What this release is (release.json beside the launcher), and its parts unpacked into scratch space.

import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import zlib from "node:zlib";

import { Failure } from "./failure.mjs";
import { nameOf, putKeys } from "./keys.mjs";
import { say } from "./log.mjs";
import { extract } from "./tar.mjs";

const FORMAT = 1;
const PARTS = ["backend", "migrations", "frontend"]; // in the order in which they are needed; the last is the largest
const INFLATE_CHUNK = 4 * 1024 * 1024;
const SLICE = 256 * 1024; // written before the event loop turns
const gunzip = promisify(zlib.gunzip);

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

/** A folder of our own in scratch space, nobody else's and no link. */
export function scratchFolder() {
  const folder = path.join(os.tmpdir(), "metamcp-release");
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stat = fs.lstatSync(folder);
  const ours = stat.isDirectory() && (!process.getuid || stat.uid === process.getuid());
  return ours ? folder : fs.mkdtempSync(`${folder}-`);
}

/**
 * Unpacks the parts that are not there yet, with the deployment's keys (see keys.mjs) in the files that the release
 * names. Returns when all of them are known to be what release.json names:
 * {folders: {backend, migrations, frontend}, ready: {the same: promises}}, for what is ready first can be used first.
 */
export async function unpack(root, release, keys, scratch = scratchFolder()) {
  const folders = {};
  for (const name of PARTS) folders[name] = path.join(scratch, folderOf(release.parts[name], keys));
  const wanted = Object.values(folders).map((folder) => path.basename(folder));
  for (const entry of fs.readdirSync(scratch)) {
    if (!wanted.includes(entry)) fs.rmSync(path.join(scratch, entry), { recursive: true, force: true });
  }
  const packed = {};
  for (const name of PARTS) {
    const { file, sha256 } = release.parts[name];
    if (!fs.existsSync(folders[name])) packed[name] = await checkedContent(path.join(root, file), sha256, name);
  }
  // All at once, by other threads; what comes out is written one after the other.
  const tars = Object.entries(packed).map(([name, content]) => [name, gunzip(content, { chunkSize: INFLATE_CHUNK })]);
  tars.forEach(([, tar]) => tar.catch(() => {})); // told when it is waited for
  const contents = Object.fromEntries(tars);
  const ready = {};
  let before = Promise.resolve();
  for (const name of PARTS) {
    ready[name] = before.then(() => unpackPart(contents[name], release.parts[name], folders[name], name, keys));
    before = ready[name].catch(() => {});
  }
  return { folders, ready };
}

// A part with keys of another secret is another part.
function folderOf(part, keys) {
  const suffix = part.keys.length ? `-${nameOf(keys).slice(0, 16)}` : "";
  return part.sha256.slice(0, 32) + suffix;
}

async function unpackPart(tar, part, folder, name, keys) {
  if (tar) await unpackInto(tar, folder, name, (made) => putKeys(made, part.keys, keys));
  if (!fs.existsSync(path.join(folder, part.entry))) {
    throw new Failure("unpack", "part_incomplete", `The part ${name} of the release has no ${part.entry}: build again.`);
  }
}

async function unpackInto(tar, folder, name, finish) {
  const started = performance.now();
  const partial = fs.mkdtempSync(`${folder}.partial-`);
  try {
    const files = await extract(slices(await tar), partial);
    finish(partial);
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

async function* slices(content) {
  for (let at = 0; at < content.length; at += SLICE) {
    yield content.subarray(at, at + SLICE);
    await turn();
  }
}

async function checkedContent(file, expected, name) {
  let content;
  try {
    content = await fs.promises.readFile(file);
  } catch (error) {
    throw new Failure("unpack", "part_missing", `The part ${name} of the release cannot be read: deploy again.`, { detail: error.message });
  }
  const found = createHash("sha256").update(content).digest("hex");
  if (found !== expected) {
    const detail = `${file}: sha256 ${found}, release.json says ${expected}`;
    throw new Failure("unpack", "part_altered", `The part ${name} is not the one that release.json names: deploy again.`, { detail });
  }
  return content;
}
