// Unpacks the release's parts into a new folder of this launcher. Folders of earlier launchers are never used: everything in
// the container runs as the same user and could have changed them.

import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import zlib from "node:zlib";

import { Failure } from "../failure.mjs";
import { putKeys } from "./next-keys.mjs";
import { say } from "../log.mjs";
import { PARTS } from "./release.mjs";
import { ownFolder, removeAbandoned } from "./scratch.mjs";
import { extract } from "./tar.mjs";

const INFLATE_CHUNK = 4 * 1024 * 1024;
const SLICE = 256 * 1024; // written before the event loop turns
const FULL = ["ENOSPC", "EDQUOT"];
const gunzip = promisify(zlib.gunzip);

export class Unpacking {
  /** The folder of each part, by name; complete once the part is ready. */
  folders = {};
  #parts = new Map(); // name → promise of the unpacked part
  #queue = Promise.resolve();

  /**
   * @param root folder of the archives
   * @param release the result of readRelease
   * @param keys of the deployment (see next-keys.mjs), for the files that the release names
   */
  constructor(root, release, keys) {
    Object.assign(this, { root, release, keys });
  }

  /**
   * Unpacks the parts that are neither unpacked nor being unpacked; may be called again after a failure. Checks the archives
   * against release.json, then returns {backend, migrations, frontend: promises}, as parts become ready one by one. A
   * rejected promise never counts as unhandled.
   */
  async start() {
    this.#makeFolders();
    const ready = Object.fromEntries(this.#parts);
    const packed = [];
    for (const name of PARTS) if (!ready[name]) packed.push([name, await this.#checked(name)]);
    const tars = packed.map(([name, content]) => [name, inflated(content)]);
    for (const [name, tar] of tars) ready[name] = this.#keep(name, this.#enqueue(name, tar));
    return ready;
  }

  /** Unpacks a service's parts again before it restarts, because its files may have been changed. */
  async renew(service) {
    for (const name of new Set(["backend", service])) {
      await this.#parts.get(name); // being unpacked just now: that must finish first
      await this.#enqueue(name, inflated(await this.#checked(name)));
    }
  }

  /** Removes the folders of ended launchers. */
  tidy() {
    return removeAbandoned();
  }

  #makeFolders() {
    if (this.folders.backend) return;
    try {
      const own = ownFolder();
      for (const name of PARTS) this.folders[name] = path.join(own, name);
    } catch (error) {
      throw failureOf(error, "There is no place to unpack the release to.");
    }
  }

  #keep(name, part) {
    this.#parts.set(name, part);
    part.catch(() => this.#parts.delete(name));
    return part;
  }

  /** Parts are decompressed in parallel, by other threads, and written one after the other. */
  #enqueue(name, tar) {
    const part = this.#queue.then(() => this.#unpack(name, tar));
    this.#queue = part.catch(() => {});
    return part;
  }

  async #unpack(name, tar) {
    const { entry, keys } = this.release.parts[name];
    const folder = this.folders[name];
    const fresh = `${folder}.new`;
    const started = performance.now();
    try {
      fs.rmSync(fresh, { recursive: true, force: true });
      fs.mkdirSync(fresh, { recursive: true });
      const files = await written(await tar, fresh);
      const missing = [entry, ...keys].find((file) => !fs.existsSync(path.join(fresh, file)));
      if (missing) throw new Failure("unpack", "part_incomplete", `The part ${name} of the release has no ${missing}: build again.`);
      putKeys(fresh, keys, this.keys);
      await replace(folder, fresh);
      say(`Unpacked ${name}: ${files} files in ${Math.round(performance.now() - started)} ms`);
    } catch (error) {
      await fs.promises.rm(fresh, { recursive: true, force: true }).catch(() => {});
      if (FULL.includes(error.code)) await this.tidy();
      throw failureOf(error, `The part ${name} of the release cannot be unpacked.`);
    }
  }

  async #checked(name) {
    const { file, sha256 } = this.release.parts[name];
    const archive = path.join(this.root, file);
    let content;
    try {
      content = await fs.promises.readFile(archive);
    } catch (error) {
      if (error.code !== "ENOENT") throw failureOf(error, `The part ${name} of the release cannot be read.`);
      throw new Failure("unpack", "part_missing", `The part ${name} of the release is not there: deploy again.`, { detail: error.message });
    }
    const digest = createHash("sha256").update(content).digest("hex");
    if (digest === sha256) return content;
    const detail = `${archive}: sha256 ${digest}, release.json says ${sha256}`;
    throw new Failure("unpack", "part_altered", `The part ${name} is not the one that release.json names: deploy again.`, { detail });
  }
}

/** A refusal by the system (no space, no descriptor) may heal; a damaged archive does not. */
function failureOf(error, message) {
  if (error instanceof Failure) return error;
  const full = FULL.includes(error.code);
  const heals = full || (error.syscall !== undefined && !error.damaged);
  const code = full ? "disk_full" : heals ? "unpack_failed" : "part_damaged";
  return new Failure("unpack", code, message, { detail: error.message, heals });
}

/** The tar of a gzip; a rejection before somebody awaits it does not count as unhandled. */
function inflated(content) {
  const tar = gunzip(content, { chunkSize: INFLATE_CHUNK });
  tar.catch(() => {});
  return tar;
}

/** How many files were written. */
async function written(tar, folder) {
  try {
    return await extract(slices(tar), folder);
  } catch (error) {
    // The folder was empty, so the archive has a name twice, or a file where it needs a folder.
    if (["EEXIST", "ENOTDIR", "EISDIR"].includes(error.code)) error.damaged = true;
    throw error;
  }
}

async function* slices(content) {
  for (let at = 0; at < content.length; at += SLICE) {
    yield content.subarray(at, at + SLICE);
    await turn();
  }
}

/** Replaces the content of `folder` by that of `fresh`. The folder itself stays: it may be a program's working folder. */
async function replace(folder, fresh) {
  const stat = fs.lstatSync(folder, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) {
    if (stat) fs.rmSync(folder);
    return fs.renameSync(fresh, folder);
  }
  const entries = fs.readdirSync(fresh, { withFileTypes: true });
  const files = new Set(entries.filter((entry) => entry.isFile()).map((entry) => entry.name));
  for (const old of fs.readdirSync(folder, { withFileTypes: true })) {
    // A file replaces a file atomically, so that a program that starts at this moment reads the old or the new one.
    if (old.isDirectory() || !files.has(old.name)) await fs.promises.rm(path.join(folder, old.name), { recursive: true, force: true });
  }
  for (const { name } of entries) fs.renameSync(path.join(fresh, name), path.join(folder, name));
  fs.rmdirSync(fresh);
}
